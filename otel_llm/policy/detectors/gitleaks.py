"""Rules in gitleaks' TOML, as a detector: what a team has there for its repositories works on telemetry, too.

Read are a rule's id, regex, keywords, entropy, secretGroup, and the allow-lists' regexes and stopwords, its own and the
file's. Rules about paths only, and conditions on paths or commits, have no meaning here and are left out.
Source: the configuration format in gitleaks' documentation (version 8).
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from otel_llm.policy.detectors.custom import PatternError, compile_re2
from otel_llm.policy.detectors.gate import Cue, Engine
from otel_llm.policy.detectors.patterns import Match, Pattern, PatternDetector, Rule
from otel_llm.policy.detectors.values import entropy

_Table = Mapping[str, object]
_WHOLE: Final = 0


def gitleaks(toml: str, name: str = "gitleaks", engine: Engine | None = None) -> PatternDetector:
    """A detector of the rules in a gitleaks configuration. The types are the rules' ids: aws-access-token.

    Raises:
        PatternError: it is not TOML, or rules of it cannot be used; each problem names the rule.
    """
    try:
        document = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise PatternError([f"not TOML: {error}"]) from None
    problems: list[str] = []
    shared = _allow_lists(document)
    rules = []
    for position, table in enumerate(_tables(document.get("rules"))):
        label = str(table.get("id") or f"rule {position}")
        try:
            if table.get("regex"):
                rules.append(_rule(label, table, shared))
        except PatternError as error:
            problems += [f"{label}: {problem}" for problem in error.problems]
    if not rules and not problems:
        problems.append("there are no rules with a regex in it")
    if problems:
        raise PatternError(problems)
    return PatternDetector(name, rules, engine)


def _tables(value: object) -> list[_Table]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _strings(value: object) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _allow_lists(table: _Table) -> list[_Table]:
    single = table.get("allowlist")
    return [*_tables(table.get("allowlists")), *([single] if isinstance(single, Mapping) else [])]


def _rule(label: str, table: _Table, shared: Sequence[_Table]) -> Rule:
    compiled = compile_re2(str(table["regex"]))
    group = table.get("secretGroup")
    least = table.get("entropy")
    checks = [_allowing(one) for one in (*shared, *_allow_lists(table))]

    def is_valid(secret: str) -> bool:
        if isinstance(least, int | float) and entropy(secret) < least:
            return False
        return not any(is_allowed(secret) for is_allowed in checks)

    keywords = tuple(keyword.lower() for keyword in _strings(table.get("keywords")) if keyword.isascii())
    pattern = _Secret(compiled, group if isinstance(group, int) else None)
    return Rule(label, pattern, Cue(keywords), is_valid=is_valid)


def _allowing(table: _Table) -> Callable[[str], bool]:
    patterns = [compile_re2(one) for one in _strings(table.get("regexes"))]
    stop_words = [word.lower() for word in _strings(table.get("stopwords"))]

    def is_allowed(secret: str) -> bool:
        lower = secret.lower()
        return any(word in lower for word in stop_words) or any(
            next(iter(pattern.finditer(secret)), None) is not None for pattern in patterns
        )

    return is_allowed


@dataclass(frozen=True, slots=True)
class _Group:
    """A group of a match, as if it were the whole."""

    match: Match
    number: int

    def group(self, group: int, /) -> str | None:  # noqa: ARG002 - there is only the whole
        return self.match.group(self.number)

    def span(self, group: int, /) -> tuple[int, int]:  # noqa: ARG002 - as above
        return self.match.span(self.number)


@dataclass(frozen=True, slots=True)
class _Secret:
    """A pattern whose finding is the secret in a match: the group a rule names, else the first that took part."""

    pattern: Pattern
    number: int | None

    def finditer(self, text: str, /) -> Iterator[Match]:
        count = cast("int", getattr(self.pattern, "groups", 0))
        for match in self.pattern.finditer(text):
            if self.number:
                yield _Group(match, self.number)
            else:
                taken = (number for number in range(1, count + 1) if match.group(number))
                yield _Group(match, next(taken, _WHOLE))
