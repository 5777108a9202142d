"""What it costs to look at a message, beside what others use for it, and what each finds.

    python -m benchmarks.detectors [--pii FILE] [--quick]

CPU time of this process, the least of several runs. Peers run when they can be imported (they are no dependency of
ours): Microsoft Presidio with its pattern recognisers and a blank spaCy pipeline, OpenLIT's guards, the scanners of LLM
Guard that need no model. Texts are 4 KB: a chat, technical text, source code, and the three mixed with personal data.
`--pii` is a file of labelled cases as presidio-research has them (synth_dataset_v2.json).
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.metadata
import json
import platform
import sys
import time
import types
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.clean_text import clean_text
from otel_llm.policy.detectors import DetectorSet, built_in
from otel_llm.policy.detectors.gate import Engine
from otel_llm.policy.redaction import Redactor, Tally

SIZE = 4096
Place = tuple[str, int, int]
Find = Callable[[str], Iterable[Place]]
CHAT = (
    "Hi, I ordered a lamp last week and it has not arrived. Could you tell me where my parcel is, please? The address "
    "is correct; I have checked it with my neighbour. Thank you for your help, and have a nice day! "
)
PERSONAL = (
    "My mail is jane.doe@example.com and my phone is +41 44 668 18 00; the card 4111 1111 1111 1111 was charged twice, "
    "the account is DE89 3704 0044 0532 0130 00, and I came from 85.214.132.117. "
)
# What is compiled with the package is used with the first two.
ENGINES: tuple[Engine, ...] = ("hyperscan", "compiled", "re2", "re")


def texts() -> dict[str, str]:
    code = Path(__file__).read_text()
    return {
        "chat": (CHAT * 40)[:SIZE],
        "technical": clean_text(SIZE, seed=3),
        "code": (code * 2)[:SIZE],
        "mixed": ((CHAT * 4 + PERSONAL + clean_text(1200, seed=4) + code[:1200]) * 2)[:SIZE],
    }


def cpu_seconds(run: Callable[[], object], budget_seconds: float) -> float:
    """The least CPU time of one run, of as many as fit into the budget, three at least."""
    run()
    gc.collect()
    best = float("inf")
    end = time.process_time() + budget_seconds
    count = 0
    while count < 3 or time.process_time() < end:
        started = time.process_time()
        run()
        best = min(best, time.process_time() - started)
        count += 1
    return best


def ours(engine: Engine) -> Find:
    detectors = DetectorSet(built_in(engine=engine), remembered=0)
    return lambda text: [(one.type, one.start, one.end) for one in detectors._look(text)]


def presidio() -> Find:
    import spacy
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine

    class Blank(NlpEngine):
        """The tokenizer alone: what a model costs comes on top."""

        def __init__(self) -> None:
            self._nlp = spacy.blank("en")

        def load(self) -> None:
            pass

        def is_loaded(self) -> bool:
            return True

        def process_text(self, text: str, language: str) -> NlpArtifacts:
            doc = self._nlp(text)
            return NlpArtifacts([], doc, [t.idx for t in doc], [t.lower_ for t in doc], self, language)

        def process_batch(self, texts: Iterable[str], language: str, **_: object) -> object:
            return ((text, self.process_text(text, language)) for text in texts)

        def is_stopword(self, word: str, language: str) -> bool:
            return False

        def is_punct(self, word: str, language: str) -> bool:
            return False

        def get_supported_entities(self) -> list[str]:
            return []

        def get_supported_languages(self) -> list[str]:
            return ["en"]

    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    engine = AnalyzerEngine(registry=registry, nlp_engine=Blank(), supported_languages=["en"])
    return lambda text: [
        (one.entity_type, one.start, one.end) for one in engine.analyze(text, "en", score_threshold=0.4)
    ]


def openlit_pii() -> Find:
    from openlit.guard import PII

    guard = PII()
    return lambda text: [
        (label, 0, 0) for label in filter(None, (guard.evaluate(text).classification or "").split(", "))
    ]


def openlit_injection() -> Find:
    from openlit.guard import PromptInjection

    guard = PromptInjection()
    return lambda text: [("PROMPT_INJECTION", 0, 0)] if guard.evaluate(text).score > 0 else []


def llm_guard(module: str, name: str) -> Callable[[], Find]:
    def load() -> Find:
        # The package's own __init__ imports torch; the modules of the scanners that need no model do not.
        for package in ("llm_guard", "llm_guard.input_scanners"):
            if package not in sys.modules:
                place = Path(str(importlib.metadata.distribution("llm-guard").locate_file(package.replace(".", "/"))))
                sys.modules[package] = types.ModuleType(package)
                sys.modules[package].__path__ = [str(place)]
        kind = getattr(importlib.import_module(f"llm_guard.input_scanners.{module}"), name)
        import structlog

        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        scanner = kind()
        return lambda text: [] if scanner.scan(text)[1] else [(name, 0, 0)]

    return load


PEERS: dict[str, tuple[str, Callable[[], Find]]] = {
    "Presidio, patterns, blank spaCy": ("presidio-analyzer", presidio),
    "OpenLIT PII": ("openlit", openlit_pii),
    "OpenLIT PromptInjection": ("openlit", openlit_injection),
    "LLM Guard Secrets": ("llm-guard", llm_guard("secrets", "Secrets")),
    "LLM Guard InvisibleText": ("llm-guard", llm_guard("invisible_text", "InvisibleText")),
}


def finders() -> dict[str, Find]:
    found: dict[str, Find] = {f"ours, all detectors, {engine}": ours(engine) for engine in ENGINES}
    for name, (package, load) in PEERS.items():
        try:
            found[f"{name} {importlib.metadata.version(package)}"] = load()
        except (ImportError, OSError, AttributeError, importlib.metadata.PackageNotFoundError) as error:
            print(f"{name}: not run ({type(error).__name__}: {error})")
    return found


def speed(found: dict[str, Find], budget_seconds: float) -> None:
    messages = texts()
    print(f"\nms CPU for {SIZE} characters")
    print("| | " + " | ".join(messages) + " |\n|---|" + "---|" * len(messages))
    for name, find in found.items():
        times = (
            cpu_seconds(lambda text=text, find=find: list(find(text)), budget_seconds) for text in messages.values()
        )
        print(f"| {name} | " + " | ".join(f"{seconds * 1000:.3f}" for seconds in times) + " |", flush=True)
    redact(messages, budget_seconds)


def redact(messages: dict[str, str], budget_seconds: float) -> None:
    """A whole attribute: the same text as a message in JSON, new every time, and one that was seen before."""
    for label, remembered in (("ours, redacted as messages, new", 0), ("the same, seen before", 1000)):
        times = []
        for text in messages.values():
            redactor = Redactor(DetectorSet(built_in(), remembered=remembered))
            document = json.dumps([{"role": "user", "parts": [{"type": "text", "content": text}]}])
            times.append(cpu_seconds(lambda r=redactor, d=document: r.text(d, None, Tally()), budget_seconds))
        print(f"| {label} | " + " | ".join(f"{seconds * 1000:.3f}" for seconds in times) + " |", flush=True)


def false_findings(found: dict[str, Find], megabytes: int) -> None:
    print(f"\nFindings in {megabytes} MB of clean technical text, in pieces of 4 KB")
    for name, find in found.items():
        counts: Counter[str] = Counter()
        for seed in range(megabytes):
            text = clean_text(1 << 20, seed=100 + seed)
            for start in range(0, len(text), SIZE):
                counts.update(type_ for type_, _, _ in find(text[start : start + SIZE]))
        print(f"| {name} | {counts.total() / megabytes:.1f} a MB | {dict(counts.most_common(4))} |", flush=True)


TYPES = {"CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "IP_ADDRESS", "PHONE_NUMBER", "US_SSN"}


def accuracy(found: dict[str, Find], file: Path) -> None:
    cases = json.loads(file.read_text())
    halves = {"first half": cases[: len(cases) // 2], "second half": cases[len(cases) // 2 :], "all": cases}
    for name in ("ours, all detectors, hyperscan", *(one for one in found if one.startswith("Presidio"))):
        for half, some in halves.items():
            right, wrong, missed = compared(found[name], some)
            by_type = {
                type_: f"{right[type_]}/{right[type_] + wrong[type_]}/{right[type_] + missed[type_]}"
                for type_ in sorted(TYPES)
            }
            precision = right.total() / (right.total() + wrong.total())
            recall = right.total() / (right.total() + missed.total())
            print(
                f"| {name} | {half} | precision {precision:.4f} | recall {recall:.4f} | {by_type if half == 'all' else ''} |"
            )


def compared(find: Find, cases: list[dict[str, object]]) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Right, wrong and missed by type: of the same type, and overlapping by more than half of what is labelled."""
    right, wrong, missed = Counter[str](), Counter[str](), Counter[str]()
    for case in cases:
        text = str(case["full_text"])
        left = [one for one in find(text) if one[0] in TYPES]
        for span in case["spans"]:
            start, end, type_ = span["start_position"], span["end_position"], span["entity_type"]
            if type_ in TYPES:
                hits = (
                    one for one in left if one[0] == type_ and min(end, one[2]) - max(start, one[1]) > (end - start) / 2
                )
                hit = next(hits, None)
                (right if hit else missed)[type_] += 1
                if hit:
                    left.remove(hit)
        wrong.update(type_ for type_, _, _ in left)
    return right, wrong, missed


ADVERSARIAL = (
    "a", "1", "1 ", "1-", ".", "@", "a@", "a@b.co ", "@a.", ":", "a:", "1.1.1.1 ", "255.", "(", "+1", "+12 345 ", "A1", "GB12 ",
    "eyJ", "eyJaaaaaaaa.", "-----BEGIN PRIVATE KEY-----", "sk-", "basic a", "bearer aaaa ", "password:", "://a:b",
    "?key=", "&key=aaaa", "api_key=", "![", "![a](http://", "[a](http://a/", "<img src=", "ignore all previous ",
    "pretend you ", "a\u200b", "%41", "\\u0041", "а", "漢", "👩\u200d", "\U000e0041", "1800 ", "phone 12 34 ", "01 23 ",  # noqa: RUF001
    "123-45-6789 ", "AB 12 ", "bot12345678:",
)  # fmt: skip


def adversarial() -> None:
    """Time at 1 MB against 16 times the time at 64 KB: what is linear has 1."""
    for engine in ENGINES:
        detectors = DetectorSet(built_in(engine=engine), remembered=0)
        rows = []
        for unit in ADVERSARIAL:
            small, large = ((unit * (size // len(unit) + 1))[:size] for size in (1 << 16, 1 << 20))
            low = min(cpu_seconds(lambda text=small: detectors._look(text), 0.0) for _ in range(2))
            started = time.process_time()
            detectors._look(large)
            high = time.process_time() - started
            rows.append((high / (16 * low), high, unit))
        ratio, _, unit = max(rows)
        seconds, slowest = max((high, unit) for _, high, unit in rows)
        print(
            f"| {engine} | {len(rows)} texts | worst ratio {ratio:.2f} ({unit[:12]!r}) | "
            f"slowest {seconds:.2f} s a MB ({slowest[:12]!r}) |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pii", type=Path)
    parser.add_argument("--quick", action="store_true", help="shorter runs, and no adversarial texts")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}")
    for package in ("hyperscan", "google-re2", "spacy"):
        try:
            print(package, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            print(package, "not installed")
    found = finders()
    speed(found, 0.1 if options.quick else 1.0)
    false_findings(found, 1)
    if options.pii:
        print("\nLabelled personal data (right/found/labelled by type)")
        accuracy(found, options.pii)
    if not options.quick:
        print("\n1 MB of adversarial text: time against linear")
        adversarial()


if __name__ == "__main__":
    main()
