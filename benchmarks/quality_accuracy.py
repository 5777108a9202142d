"""How often each quality signal is right: precision, recall, false positives, on labelled answers and on made faults.

Run: python -m benchmarks.quality_accuracy. Reads the labelled data that is kept beside a checkout of the project
(`shared/data/quality`, or where OTEL_LLM_QUALITY_DATA says: XSTest, HaluEval, BEGIN, BFCL) and skips, saying so, what
is not there. For languages, the message catalogues of Django are read when Django is installed. docs/quality.md has the
figures and says what they do not show.
"""

from __future__ import annotations

import csv
import gettext
import importlib.util
import itertools
import json
import os
import random
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from otel_llm.quality.signals import language, leakage, outliers, refusal, repetition, support
from otel_llm.quality.signals.loops import Step, is_loop
from otel_llm.quality.signals.tool_calls import ToolCall, fault, read_tools

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data" / "quality"
DATA = Path(os.environ.get("OTEL_LLM_QUALITY_DATA", _BESIDE))
MODELS = ("gpt4", "mistralinstruct")


def rows(name: str, delimiter: str = ",") -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def lines(name: str) -> list[dict]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines() if line.strip()]


def xstest() -> list[dict[str, str]]:
    return [{**row, "model": model} for model in MODELS for row in rows(f"xstest/xstest_v2_completions_{model}.csv")]


def ordinary() -> list[str]:
    """Answers that nobody refused: right and hallucinated ones of HaluEval, all responses of BEGIN."""
    found = [
        row[key] for row in lines("halueval/qa_one-turn_data.json") for key in ("right_answer", "hallucinated_answer")
    ]
    return found + [row["response"] for row in rows("begin/begin_dev_wow.tsv", "\t")]


def report(name: str, number: int, **figures: float) -> None:
    print(f"  {name:44s} n={number:<7d}" + "  ".join(f"{key} {value:.3f}" for key, value in figures.items()))


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """The chance that a positive lies above a negative, ties counting half."""
    ranked = sorted([(value, 1) for value in positive] + [(value, 0) for value in negative])
    total, start = 0.0, 0
    while start < len(ranked):
        end = start
        while end < len(ranked) and ranked[end][0] == ranked[start][0]:
            end += 1
        total += sum(one for _, one in ranked[start:end]) * (start + end + 1) / 2
        start = end
    return (total - len(positive) * (len(positive) + 1) / 2) / len(positive) / len(negative)


def refusals() -> None:
    """XSTest, human labels; full and partial refusals are positive."""

    def score(name: str, found: Iterable[dict[str, str]]) -> None:
        pairs = [(row["final_label"][0] != "1", refusal.classify(row["completion"]) == "refused") for row in found]
        counts = Counter(pairs)
        right, false, missed = counts[True, True], counts[False, True], counts[True, False]
        report(name, len(pairs), precision=right / (right + false), recall=right / (right + missed))

    everything = xstest()
    score("refusal, XSTest", everything)
    for model in MODELS:
        score(f"  {model}", (row for row in everything if row["model"] == model))
    for half, name in enumerate(("half the rules were written on", "other half, looked at once")):
        score(f"  {name}", (row for row in everything if zlib.crc32(row["id"].encode()) % 2 == half))
    answers = [row["completion"] for row in everything if row["final_label"][0] == "1"]
    for name, texts in (("ordinary answers", ordinary()), ("XSTest answers that comply", answers)):
        report(f"refusal, {name}", len(texts), false=sum(refusal.classify(t) == "refused" for t in texts) / len(texts))


def loops(texts: Sequence[str], draw: random.Random) -> Iterator[tuple[str, list[str]]]:
    """Loops as models write them, made from real answers."""

    def phrase(text: str) -> str:
        return " ".join(text.split()[20 : 20 + draw.randint(2, 12)]) + " "

    def head(text: str) -> str:
        return " ".join(text.split()[:40]) + " "

    yield "a phrase, 6 to 30 times", [head(t) + phrase(t) * draw.randint(6, 30) for t in texts]
    yield "a phrase, cut off", [(head(t) + phrase(t) * 30)[: draw.randint(500, 1200)] for t in texts]
    yield "a sentence", [t[:300] + (t[: draw.randint(80, 200)] + " ") * draw.randint(4, 12) for t in texts]
    yield "numbered", [t[:200] + "".join(f"\n{n}. {' '.join(t.split()[10:22])}" for n in range(12)) for t in texts]
    yield "in the middle", [t[:200] + (" ".join(t.split()[20:28]) + " ") * 12 + t[200:500] for t in texts]
    yield (
        "lines that differ in numbers (not looked for)",
        [
            t[:200] + "".join(f"\nStep {7 * n}: check file_{n}.txt and report {3 * n} items." for n in range(15))
            for t in texts
        ],
    )


def repetitions() -> None:
    real = [t for t in [row["completion"] for row in xstest()] if len(t) >= 200]
    real += [row["knowledge"] for row in lines("halueval/qa_one-turn_data.json") if len(row["knowledge"]) >= 200]
    report(
        "repetition, real texts of 200+ characters",
        len(real),
        false=sum(map(repetition.is_repetitive, real)) / len(real),
    )
    draw = random.Random(2)
    middling = draw.sample([t for t in real if 400 < len(t) < 2000], 500)
    for name, texts in loops(middling, draw):
        report(f"  {name}", len(texts), recall=sum(map(repetition.is_repetitive, texts)) / len(texts))


_TYPES = {"dict": "object", "float": "number", "tuple": "array", "list": "array", "long": "integer", "double": "number"}


def _json_schema(schema: object) -> object:
    """BFCL's types are Python's and Java's."""
    if not isinstance(schema, dict):
        return schema
    found = {}
    for key, value in schema.items():
        if key == "properties":
            found[key] = {name: _json_schema(one) for name, one in value.items()}
        elif key == "type" and value != "any":
            found[key] = _TYPES.get(value, value).lower()
        elif key != "type":
            found[key] = _json_schema(value) if key == "items" else value
    return found


def _first(value: object) -> object:
    """BFCL lists the values that are right; the empty text stands for leaving out."""
    if isinstance(value, list):
        value = next((one for one in value if one != ""), None)
    return _whole(value)


def _whole(value: object) -> object:
    if isinstance(value, dict):
        return {key: one for key, item in value.items() if (one := _first(item)) is not None}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def bfcl() -> Iterator[tuple[dict, str, dict]]:
    for name in ("simple_python", "multiple"):
        functions = {row["id"]: row["function"] for row in lines(f"bfcl/BFCL_v4_{name}.json")}
        for row in lines(f"bfcl/possible_answer_BFCL_v4_{name}.json"):
            tools = read_tools(
                [
                    {"type": "function", "name": one["name"], "parameters": _json_schema(one["parameters"])}
                    for one in functions[row["id"]]
                ]
            )
            for call in row["ground_truth"]:
                for tool, arguments in call.items():
                    yield tools or {}, tool, {k: one for k, v in arguments.items() if (one := _first(v)) is not None}


def tool_faults() -> None:
    """Calls that are right, and one mutation of each kind that a call allows."""
    calls = list(bfcl())
    good = [call for call in calls if fault(ToolCall(call[1], json.dumps(call[2])), call[0]) is None]
    report("tool calls, BFCL's own (each rejected one read)", len(calls), rejected=1 - len(good) / len(calls))
    draw = random.Random(5)
    found: dict[str, list[bool]] = defaultdict(list)
    for tools, tool, arguments in good:
        for kind, name, text in _mutations(tools[tool], tool, arguments, draw):
            found[kind].append(fault(ToolCall(name, text), tools) is not None)
    for kind, results in found.items():
        report(f"  {kind}", len(results), recall=sum(results) / len(results))


def _mutations(schema: dict, tool: str, arguments: dict, draw: random.Random) -> Iterator[tuple[str, str, str]]:
    text = json.dumps(arguments)
    yield "a tool that was not offered", f"{tool}_v2", text
    yield "JSON cut off", tool, text[:-1]
    yield "an invented argument", tool, json.dumps({**arguments, "made_up": 1})
    required = [name for name in schema.get("required", []) if name in arguments]
    if required:
        gone = draw.choice(required)
        yield "a required argument left out", tool, json.dumps({k: v for k, v in arguments.items() if k != gone})
    kinds = {name: one.get("type") for name, one in schema.get("properties", {}).items() if name in arguments}
    others = [name for name, kind in kinds.items() if kind in ("integer", "number", "boolean", "array", "object")]
    if others:
        yield "text for another type", tool, json.dumps({**arguments, draw.choice(others): "text"})
    texts = [name for name, kind in kinds.items() if kind == "string"]
    if texts:
        yield "a number for text", tool, json.dumps({**arguments, draw.choice(texts): 12345})
    listed = [name for name in kinds if schema["properties"][name].get("enum")]
    if listed:
        yield "a value outside of the enum", tool, json.dumps({**arguments, draw.choice(listed): "zz"})


def supports() -> None:
    """BEGIN (Wizard of Wikipedia, dev): fully attributable answers against all others."""
    scored = [
        (
            support.lexical_support(row["response"], support.Documents.of([row["knowledge"]]).all_words),
            row["begin_label"],
        )
        for row in rows("begin/begin_dev_wow.tsv", "\t")
    ]
    known = [(score, label == "Fully attributable") for score, label in scored if score is not None]
    good, poor = [s for s, ok in known if ok], [s for s, ok in known if not ok]
    report("lexical_support, BEGIN", len(known), auc=auc(good, poor))
    for limit in (0.4, 0.5):
        flagged = [ok for score, ok in known if score < limit]
        report(
            f"  raised below {limit}", len(known),
            precision=flagged.count(False) / len(flagged), recall=flagged.count(False) / len(poor),
        )  # fmt: skip
    qa = lines("halueval/qa_one-turn_data.json")

    def scores(key: str) -> list[float]:
        found = (support.lexical_support(r[key], support.Documents.of([r["knowledge"]]).all_words) for r in qa)
        return [one for one in found if one is not None]

    right, wrong = scores("right_answer"), scores("hallucinated_answer")
    report("lexical_support, HaluEval QA", len(right) + len(wrong), auc=auc(right, wrong))
    print("    (subtle errors in the documents' own words are not found; see docs/quality.md)")
    coverages(qa)


def coverages(qa: Sequence[dict]) -> None:
    """Each question with its own documents, and with those of the hundred others that share most words with it."""
    draw = random.Random(1)
    documents = [support.Documents.of([row["knowledge"]]) for row in qa]
    own, hard = [], []
    for number, row in enumerate(qa[:300]):
        words = support.Documents.of([row["question"]]).all_words
        others = [n for n in draw.sample(range(len(qa)), 100) if n != number]
        nearest = max(others, key=lambda n: len(words & documents[n].all_words))
        own.append(support.query_coverage(row["question"], documents[number]) or 0.0)
        hard.append(support.query_coverage(row["question"], documents[nearest]) or 0.0)
    false = sum(one < 0.3 for one in own) / len(own)
    recall = sum(one < 0.3 for one in hard) / len(hard)
    report("query_coverage, own against nearest documents", len(own), auc=auc(own, hard), recall=recall, false=false)


def languages() -> None:
    qa = lines("halueval/qa_one-turn_data.json")
    pairs = [(row["prompt"], row["completion"]) for row in xstest()]
    pairs += [(row["message"], row["response"]) for row in rows("begin/begin_dev_wow.tsv", "\t")]
    pairs += [(row["question"], row[key]) for row in qa for key in ("right_answer", "hallucinated_answer")]
    false = sum(language.is_mismatch(*pair) is True for pair in pairs) / len(pairs)
    report("language_mismatch, English pairs", len(pairs), false=false)
    spec = importlib.util.find_spec("django")
    if spec is None or spec.origin is None:
        print("  language_mismatch, other languages: skipped, Django is not installed (pip install django)")
        return
    _catalogues(Path(spec.origin).parent)


_LANGUAGES = """
de fr es it pt nl sv pl tr fi cs id vi ro hu ru uk ja ko zh_Hans ar he el th hi ta ka hy
""".split()  # noqa: SIM905 - a table of words


def _catalogues(django: Path) -> None:
    """English messages as questions and their translations as answers, three together: 60 to 300 characters."""
    found, same, number = 0, 0, 0
    for name in _LANGUAGES:
        texts: dict[str, str] = {}
        for path in sorted(django.glob(f"c*/**/locale/{name}/LC_MESSAGES/*.mo")):
            with path.open("rb") as file:
                catalogue = gettext.GNUTranslations(file)._catalog
            texts |= {
                k: v for k, v in catalogue.items() if isinstance(k, str) and isinstance(v, str) and _is_prose(k, v)
            }
        keys = sorted(texts)
        random.Random(1).shuffle(keys)
        pairs = [
            (" ".join(k), " ".join(texts[one] for one in k))
            for k in zip(keys[::3], keys[1::3], keys[2::3], strict=False)
        ]
        raised = sum(language.is_mismatch(*pair) is True for pair in pairs)
        found, number = found + raised, number + len(pairs)
        same += sum(language.is_mismatch(a, b) is True for (_, a), (_, b) in itertools.pairwise(pairs))
        report(f"  {name}", len(pairs), recall=raised / len(pairs))
    report("language_mismatch, 28 languages", number, recall=found / number, false=same / number)


def _is_prose(text: str, translated: str) -> bool:
    return len(text) > 25 and text != translated and "<" not in text and "%" not in text


def leaks() -> None:
    """Passages of one text copied into answers, by length; and answers that copy nothing."""
    instructions = "\n".join(row["knowledge"] for row in lines("halueval/qa_one-turn_data.json")[:30])[:8000]
    answers = [row["completion"] for row in xstest()]
    pieces = leakage.pieces_of(instructions)
    report(
        "prompt_leak, answers that copy nothing",
        len(answers),
        false=sum(leakage.is_leak(a, pieces) for a in answers) / len(answers),
    )
    draw = random.Random(3)
    for size in (100, 165, 300):
        starts = [draw.randrange(len(instructions) - size) for _ in answers]
        mixed = [a[:50] + instructions[s : s + size] + a[50:] for a, s in zip(answers, starts, strict=True)]
        report(
            f"  {size} characters copied",
            len(mixed),
            recall=sum(leakage.is_leak(m, pieces) for m in mixed) / len(mixed),
        )


def behaviours() -> None:
    """Made sequences: agents that loop, and agents at work; durations that vary as real ones do."""
    draw = random.Random(7)
    looping = [[Step(draw.getrandbits(32)) for _ in range(draw.randint(0, 8))] for _ in range(2000)]
    for steps in looping:
        cycle = [Step(draw.getrandbits(32), draw.getrandbits(32)) for _ in range(draw.randint(1, 4))]
        steps.extend(cycle * 3)
    honest = [[Step(draw.randrange(6), draw.randrange(50)) for _ in range(30)] for _ in range(2000)]
    report("agent_loop, made loops", len(looping), recall=sum(map(is_loop, looping)) / len(looping))
    report("agent_loop, 6 calls with changing results", len(honest), false=sum(map(is_loop, honest)) / len(honest))
    for name, sigma in (
        ("slow, log-normal durations, spread 0.3", 0.3),
        ("slow, log-normal durations, spread 0.8", 0.8),
    ):
        level, false, caught = outliers.Level(), 0, 0
        for number in range(100_000):
            false += outliers.is_slow(level.update(draw.lognormvariate(0, sigma))) is True
            if number % 100 == 99:
                caught += outliers.is_slow(level.update(60.0)) is True
        report(name, 100_000, false=false / 100_000, found_60_times=caught / 1000)


def main() -> None:
    measures: dict[str, list[Callable[[], None]]] = {
        "xstest": [refusals, repetitions, languages, leaks],
        "bfcl": [tool_faults],
        "begin": [supports],
    }
    for folder, functions in measures.items():
        if not (DATA / folder).is_dir():
            print(f"{folder}: skipped, the labelled data is kept beside the project and is not there")
            continue
        for function in functions:
            function()
    behaviours()


if __name__ == "__main__":
    main()
