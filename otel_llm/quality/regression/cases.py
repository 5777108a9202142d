"""Data sets: JSON lines, one case each.

    {"id": "capital", "input": "What is the capital of France?", "checks": {"contains": "Paris"}}

`input` is anything, and goes to the function under test as it is. `expected` is what the answer should be, `checks`
what should be true of it; both may be left out for data sets that an evaluator of the user's judges.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final


class CaseError(ValueError):
    """A data set is wrong.

    Attributes:
        problems: one line for each problem, each with the number of its line.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Case:
    """One case.

    Attributes:
        id: unique in its data set.
        input: what the function under test gets.
        expected: what it should answer, None when that is not known.
        checks: what should be true of the answer: kind of check -> what it is compared with.
    """

    id: str
    input: object
    expected: object = None
    checks: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


def _is_json(answer: str, wanted: object) -> bool:
    try:
        json.loads(answer)
    except (ValueError, RecursionError):
        return not wanted
    return bool(wanted)


def _texts(wanted: object) -> list[str]:
    return [str(one) for one in wanted] if isinstance(wanted, list) else [str(wanted)]


#: Each gets the answer as text and what the case says.
CHECKS: Final[Mapping[str, Callable[[str, object], bool]]] = MappingProxyType(
    {
        "equals": lambda answer, wanted: answer.strip() == str(wanted).strip(),
        "contains": lambda answer, wanted: all(text.casefold() in answer.casefold() for text in _texts(wanted)),
        "contains_not": lambda answer, wanted: not any(t.casefold() in answer.casefold() for t in _texts(wanted)),
        "matches": lambda answer, wanted: re.search(str(wanted), answer) is not None,
        "is_json": _is_json,
        "characters_at_most": lambda answer, wanted: isinstance(wanted, int) and len(answer) <= wanted,
    }
)


def score(case: Case, answer: object) -> float:
    """1 when the answer is as expected and every check is true, else 0."""
    text = answer if isinstance(answer, str) else json.dumps(answer, sort_keys=True, default=str)
    if case.expected is not None and answer != case.expected and text.strip() != str(case.expected).strip():
        return 0.0
    return float(all(CHECKS[kind](text, wanted) for kind, wanted in case.checks.items()))


def read_cases(lines: Iterable[str]) -> list[Case]:
    """The cases of a data set.

    Raises:
        CaseError: with every problem.
    """
    cases: list[Case] = []
    problems: list[str] = []
    known: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            case = _case(line)
        except ValueError as error:
            problems.append(f"line {number}: {error}")
            continue
        if case.id in known:
            problems.append(f"line {number}: the id {case.id!r} is that of line {known[case.id]}, too")
        known[case.id] = number
        cases.append(case)
    if problems:
        raise CaseError(problems)
    return cases


def _case(line: str) -> Case:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("expected a JSON object, got something that is not JSON") from None
    if not isinstance(values, dict):
        raise ValueError("expected a JSON object")  # noqa: TRY004 - what is wrong is the data set
    unknown = values.keys() - {"id", "input", "expected", "checks"}
    if unknown:
        raise ValueError(f"unknown key {min(unknown)!r}; known are id, input, expected, checks")
    id_ = values.get("id")
    if not isinstance(id_, str) or not id_ or "input" not in values:
        raise ValueError("expected an id, which is text, and an input")
    return Case(id_, values["input"], values.get("expected"), _checks(values.get("checks") or {}))


def _checks(checks: object) -> Mapping[str, object]:
    if not isinstance(checks, dict):
        raise ValueError("checks: expected an object")  # noqa: TRY004 - what is wrong is the data set
    for kind, wanted in checks.items():
        if kind not in CHECKS:
            raise ValueError(f"checks: unknown check {kind!r}; known are {', '.join(CHECKS)}")
        if kind == "matches":
            try:
                re.compile(str(wanted))
            except re.error as error:
                raise ValueError(f"checks.matches: {error}") from None
    return MappingProxyType(checks)
