"""The values of a configuration between the YAML text and the typed structs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Expanded:
    """A scalar that held `${...}`.

    Attributes:
        text: what the scalar says with everything put in; what a setting that wants a string gets.
        value: the text read as YAML, when the reference was all there was; what every other setting gets.
        secrets: the values that came from the environment; no message may show them.
        failed: a reference could not be replaced, which has been reported; there is no use in looking at the value.
    """

    text: str
    value: Value
    secrets: tuple[str, ...] = ()
    failed: bool = False

    def __repr__(self) -> str:
        return "Expanded(...)"  # a traceback or a log line must not show what is in it


Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | Expanded | None"


def spread(expanded: Expanded) -> Value:
    """The value of a list, with every item in it still known to come from the environment; any other as it is."""
    if not isinstance(expanded.value, list):
        return expanded.value
    return [Expanded("" if item is None else str(item), item, expanded.secrets) for item in expanded.value]


def plain(value: Value) -> Value:
    """The value without any Expanded in it, strings and numbers as YAML has them."""
    match value:
        case Expanded():
            return value.value
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case _:
            return value


def secrets_in(value: Value) -> Iterator[str]:
    """Every environment value below this one."""
    match value:
        case Expanded():
            yield from value.secrets
        case dict():
            for item in value.values():
                yield from secrets_in(item)
        case list():
            for item in value:
                yield from secrets_in(item)
        case _:
            pass


def join(path: str, key: str | int) -> str:
    """The path of a setting below another: `service.telemetry`, `service.pipelines.traces.receivers[0]`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key
