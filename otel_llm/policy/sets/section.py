"""One section of a policy document: typed reads that note what is wrong, and what nobody has read in the end."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence


class Section:
    """A mapping with a path.

    Args:
        file: for messages.
        path: for messages; empty for a whole document.
        value: what stands there.
        problems: where problems go.

    Attributes:
        file: as given.
        problems: as given.
    """

    __slots__ = ("_known", "_path", "_values", "file", "problems")

    def __init__(self, file: str, path: str, value: object, problems: list[str]) -> None:
        self.file = file
        self.problems = problems
        self._path = path
        self._known: set[str] = set()
        self._values: Mapping[object, object] = value if isinstance(value, Mapping) else {}
        if not isinstance(value, Mapping):
            self.problems.append(f"{file}: {path or 'document'}: expected a section, got {kind_of(value)}")

    def problem(self, key: str, message: str) -> None:
        """Note a problem with the value of a key."""
        self.problems.append(f"{self.file}: {self._path}.{key}: {message}".replace(": .", ": "))

    def _get(self, key: str) -> object:
        self._known.add(key)
        return self._values.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        """A text, or a number as one; required unless there is a default. Empty after a problem."""
        value = self._get(key)
        if value is None and default is not None:
            return default
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        self.problem(key, f"expected a text, got {kind_of(value)}")
        return ""

    def matching(self, key: str, pattern: re.Pattern[str], wanted: str) -> str | None:
        """A text of a certain form."""
        text = self.text(key)
        if text and not pattern.match(text):
            self.problem(key, f"expected {wanted}")
        return text or None

    def choice(self, key: str, choices: Sequence[str], default: str | None = None) -> str:
        """One of several words. The default, or the empty string, after a problem."""
        value = self._get(key)
        if value is None and default is not None:
            return default
        if isinstance(value, str) and value in choices:
            return value
        if value is False and "off" in choices:  # YAML 1.1 reads `off` as a bool
            return "off"
        got = repr(value[:60]) if isinstance(value, str) else kind_of(value)
        near = difflib.get_close_matches(value[:60], choices, n=1) if isinstance(value, str) else []
        hint = f"; did you mean {near[0]}?" if near else ""
        self.problem(key, f"expected {' or '.join(choices)}, got {got}{hint}")
        return default or ""

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def texts(self, key: str, *, is_required: bool = False, may_be_empty: bool = False) -> list[str]:
        """A list of texts; one text is a list of one."""
        value = self._get(key)
        if value is None and not is_required:
            return []
        values = [value] if isinstance(value, str) else value
        if (
            isinstance(values, list)
            and (values or may_be_empty)
            and all(isinstance(one, str) and one for one in values)
        ):
            return list(values)
        self.problem(key, f"expected a list of texts, got {kind_of(value)}")
        return []

    def section(self, key: str, *, is_optional: bool = False) -> Section:
        """A section within this one."""
        value = self._get(key)
        return Section(
            self.file, f"{self._path}.{key}".lstrip("."), {} if value is None and is_optional else value, self.problems
        )

    def sections(self, key: str, name_key: str) -> list[Section]:
        """A list of sections, each called by the value of one of its keys."""
        value = self._get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.problem(key, f"expected a list, got {kind_of(value)}")
            return []
        found = []
        for number, one in enumerate(value):
            name = one.get(name_key) if isinstance(one, Mapping) else None
            called = f" ({name})" if isinstance(name, str) else ""
            found.append(Section(self.file, f"{self._path}.{key}[{number}]{called}".lstrip("."), one, self.problems))
        return found

    def rest(self) -> Iterator[tuple[str, object]]:
        """Every key that is a text, with its value, for sections whose keys are the user's."""
        for key, value in self._values.items():
            if isinstance(key, str):
                self._known.add(key)
                yield key, value

    def finish(self) -> None:
        """Note keys that nobody knows."""
        for key in self._values:
            if key not in self._known:
                near = difflib.get_close_matches(str(key)[:60], sorted(self._known), n=1)
                hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(sorted(self._known))}"
                self.problem(str(key)[:60], f"unknown{hint}")


def kind_of(value: object) -> str:
    """What to call a value in a message without showing it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text" if value.strip() else "an empty text"
        case list():
            return "a list"
        case Mapping():
            return "a section"
    return type(value).__name__
