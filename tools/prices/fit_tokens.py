"""Fits the coefficients of otel_llm/cost/tokens.py; a build-time tool, run by hand (docs/prices.md, "Estimates").

Needs tiktoken, numpy, Django (for its translations: text in many scripts) and a folder with tiktoken's o200k_base
vocabulary under its cache name (litellm's wheel carries one), given as TIKTOKEN_CACHE_DIR. Prints the table to paste
and the error on documents that were held out whole.
"""

from __future__ import annotations

import base64
import json
import random
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tiktoken

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from otel_llm.cost.tokens import byte_classes

CHUNK_LENGTHS = (200, 600, 1500, 4000)
LANGUAGES = (
    *("ar", "bg", "cs", "da", "de", "el", "es", "fa", "fi", "fr", "he", "hi", "hu", "id", "it", "ja", "ko", "ml", "nl"),
    *("pl", "pt", "ro", "ru", "sv", "ta", "th", "tr", "uk", "vi", "zh_Hans", "zh_Hant"),
)
WORDS = (
    *("the", "quick", "check", "of", "an", "order", "shows", "that", "its", "total", "was", "wrong", "because", "tax"),
    *("is", "missing", "please", "fix", "it", "\U0001f600", "\u2705", "\U0001f680\U0001f680", "\u2014", "caf\u00e9"),
)


#: Candidates: what may be counted (occurrences that do not overlap), in the classes of tokens.py.
PATTERNS: tuple[bytes, ...] = (
    *(b" a", b" A", b"na", b"nA", b"pa", b"pA", b"aA", b"AA", b"0a", b"0A", b"a0", b"0", b"000", b"p", b"pp", b"n"),
    *(b"nn", b"n ", b"  ", b" ", b"    ", b"a", b"A", b"l", b"g", b"y", b"h", b"r", b"i", b"v", b"u", b"j", b"c", b"k"),
    *(b"m", b"o", b" y", b" g", b" h", b" r", b" l", b" i", b"aaaaaaaa", b"aaaaaaaaaaaaa", b"a0a", b"A0", b"p0"),
    *(
        b"xa",
        b"ppp",
        b"aaaa",
        b"AAAA",
        b" p",
        b"x ",
        b"yxyxyxyx",
        b"rxrxrxrx",
        b"ixxixxixx",
        b"kxxkxx",
        b"cxxcxx",
        b"jxxjxx",
    ),
)


def pattern_counts(text: str) -> list[int]:
    """How often each of PATTERNS occurs."""
    count = byte_classes(text).count
    return [count(pattern) for pattern in PATTERNS]


def documents(folders: list[Path], generator: random.Random) -> Iterator[tuple[str, str, str]]:
    """(kind, document name, text): prose, code, data and other languages from installed packages, and made-up ids."""
    for kind, pattern, limit in (
        ("english", "*.dist-info/METADATA", 150),
        ("english", "**/*.md", 60),
        ("english", "**/*.rst", 60),
        ("python", "**/*.py", 400),
        ("data", "**/*.json", 100),
        ("data", "**/*.yaml", 60),
        ("markup", "**/*.html", 60),
        ("javascript", "**/*.js", 40),
    ):
        files = sorted(file for folder in folders for file in folder.glob(pattern))
        generator.shuffle(files)
        for file in files[:limit]:
            yield kind, str(file), file.read_bytes()[:200_000].decode("utf-8", "replace")
    for language in LANGUAGES:
        pattern = f"django/**/locale/{language}/*/django.po"
        for file in sorted(file for folder in folders for file in folder.glob(pattern)):
            strings = re.findall(r'^msgstr(?:\[\d\])? "(.+)"$', file.read_text(encoding="utf-8"), re.MULTILINE)
            yield f"lang:{language}", str(file), "\n".join(text.replace("\\n", "\n") for text in strings)
    for number in range(60):
        yield "chat", f"chat{number}", _chat(generator)
        yield "ids", f"ids{number}", _ids(generator)


def _chat(generator: random.Random) -> str:
    turns = [
        {"role": role, "content": " ".join(generator.choices(WORDS, k=generator.randint(5, 60))).capitalize() + "."}
        for role in ("system", "user", "assistant", "user")
    ]
    tool = {"name": "get_order", "arguments": {"id": generator.randrange(10**6), "fields": generator.sample(WORDS, 3)}}
    return json.dumps({"messages": turns, "tool_calls": [tool], "top_p": generator.random()}, ensure_ascii=False)


def _ids(generator: random.Random) -> str:
    lines = [
        generator.choice(
            [
                str(uuid.UUID(int=generator.getrandbits(128))),
                base64.b64encode(generator.randbytes(generator.randint(12, 90))).decode(),
                generator.randbytes(16).hex(),
                f"2026-{generator.randint(1, 12):02d}-11T{generator.randint(0, 23):02d}:15:07Z",
            ]
        )
        for _ in range(80)
    ]
    return "\n".join(lines)


def chunks(text: str, generator: random.Random) -> Iterator[str]:
    """A few pieces of the text, of several lengths; more of a language, for there are fewer documents."""
    for length in CHUNK_LENGTHS * 2:
        if len(text) >= length:
            start = generator.randrange(len(text) - length + 1)
            yield text[start : start + length]


def fit(counts: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Least squares of the relative error, coefficients at least 0 (dropping the most negative one by one)."""
    active = list(range(counts.shape[1]))
    while True:
        rows = np.vstack([counts[:, active] / truth[:, None], 1e-2 * np.eye(len(active))])
        solution, *_ = np.linalg.lstsq(rows, np.concatenate([np.ones(len(truth)), np.zeros(len(active))]), rcond=None)
        if solution.min() >= 0:
            break
        active.pop(int(solution.argmin()))
    result = np.zeros(counts.shape[1])
    result[active] = solution
    return result


def main() -> None:
    """Prints the fitted table and the error of the estimate on held-out documents."""
    generator = random.Random(20261121)  # noqa: S311 - a fixed sample, nothing secret
    encoding = tiktoken.get_encoding("o200k_base")
    kinds, held, texts = [], [], []
    for kind, name, text in documents([Path(folder) for folder in sys.argv[1:]], generator):
        out = hash_of(name) % 2 == 0
        for piece in chunks(text, generator):
            kinds.append(kind)
            held.append(out)
            texts.append(piece)
    counts = np.array([pattern_counts(text) for text in texts], float)
    truth = np.array([len(encoding.encode_ordinary(text)) for text in texts], float)
    test = np.array(held)
    weights = np.round(fit(counts[~test], truth[~test]), 4)
    for name, values in (("fitted", counts @ weights), ("characters / 4", np.array([len(text) / 4 for text in texts]))):
        report(name, values[test], truth[test], [kind for kind, out in zip(kinds, held, strict=True) if out])
    print({pattern.decode(): float(weight) for pattern, weight in zip(PATTERNS, weights, strict=True) if weight})


def hash_of(name: str) -> int:
    """A hash that is the same in every process."""
    return sum(index * ord(letter) for index, letter in enumerate(name, 1))


def report(name: str, estimate: np.ndarray, truth: np.ndarray, kinds: list[str]) -> None:
    """Mean absolute relative error, its 90th percentile, the bias of the sum; then by kind."""
    error = estimate / truth - 1
    bias = estimate.sum() / truth.sum() - 1
    p90 = np.quantile(abs(error), 0.9)
    print(f"{name}: n {len(truth)} MAPE {abs(error).mean():.1%} p90 {p90:.1%} bias {bias:+.1%}")
    for kind in sorted({kind.split(":")[0] for kind in kinds} | set(kinds)):
        chosen = np.array([item == kind or item.split(":")[0] == kind for item in kinds])
        print(f"   {kind:12s} {chosen.sum():4d} MAPE {abs(error[chosen]).mean():.1%} bias {error[chosen].mean():+.1%}")


if __name__ == "__main__":
    main()
