"""Plain values to typed structs, with every problem of a section and not just the first.

msgspec converts a value or says what is wrong with it first; so this goes down field by field and leaves only the
leaves to msgspec. Messages show a value only where the setting is a number or one of a closed set of words: anywhere
else it may be a password that has come to the wrong place, and from the environment never.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, TypeVar, cast

import msgspec

from otel_llm.config import types
from otel_llm.config.document import name_of
from otel_llm.config.values import Expanded, Value, join, plain, secrets_in, spread
from otel_llm.errors import ConfigError
from otel_llm.nearest import hint

StructType = TypeVar("StructType", bound=msgspec.Struct)


class _Invalid(Enum):
    """Stands for a value that was reported."""

    INVALID = 0


INVALID: Final = _Invalid.INVALID
Invalid = Literal[_Invalid.INVALID]

# A shorter value of a variable is no secret, and putting *** in its place would only make other messages unreadable.
_SHORTEST_SECRET: Final = 4
_LONGEST_QUOTE: Final = 60


def convert_section(value: Value, struct: type[StructType], path: str, problems: list[str]) -> StructType | None:
    """A section as its struct; None when something is wrong with it.

    Args:
        value: what stands in the configuration; nothing means all defaults.
        struct: what it has to be.
        path: where it stands.
        problems: gets one line for each thing that is wrong.
    """
    converted = _convert({} if plain(value) is None else value, struct, path, problems)
    return None if converted is INVALID else cast("StructType", converted)


def _convert(value: Value, wanted: object, path: str, problems: list[str]) -> object:
    """The value as the type wants it, or INVALID."""
    if isinstance(value, Expanded):
        if value.failed:
            return INVALID
        if not isinstance(value.value, list):
            return _leaf(value, wanted, path, problems)
        value = spread(value)
    struct = types.struct_member(wanted)
    if struct is not None and isinstance(value, dict):
        return _struct(value, struct, path, problems)
    if struct is not None and value is None and not _takes_nothing(wanted):
        return _struct({}, struct, path, problems)
    entries, items = types.entry_type(wanted), types.item_type(wanted)
    if entries is not None and isinstance(value, dict):
        return _mapping(value, entries, path, problems)
    if items is not None and isinstance(value, list):
        return _sequence(value, items, path, problems)
    return _leaf(value, wanted, path, problems)


_DELIVERY = ("sending_queue", "retry_on_failure")


def _takes_nothing(wanted: object) -> bool:
    return any(member is type(None) for member, _ in types.members(wanted))


def _struct(section: dict[str, Value], struct: type[msgspec.Struct], path: str, problems: list[str]) -> object:
    before = len(problems)
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    if struct.__struct_config__.forbid_unknown_fields:
        # Every exporter's section also takes those of its delivery, which were taken out before.
        known = [*fields, *_DELIVERY] if path.startswith("exporters.") and path.count(".") == 1 else fields
        problems += [f"{join(path, key)}: unknown setting{hint(key, known)}" for key in section if key not in fields]
    values: dict[str, object] = {}
    failed = False
    for name, field in fields.items():
        if name in section:
            converted = _convert(section[name], field.type, join(path, name), problems)
            failed = failed or converted is INVALID
            values[field.name] = converted
        elif field.required:
            problems.append(
                f"{join(path, name)}: expected {types.describe(field.type)}, got nothing; it has no default"
            )
    if failed or len(problems) > before:
        return INVALID
    return _make(struct, values, section, path, problems)


def _make(
    struct: type[msgspec.Struct], values: dict[str, object], section: dict[str, Value], path: str, problems: list[str]
) -> object:
    """The struct, when its own checks have nothing against it."""
    try:
        return struct(**values)
    except ConfigError as error:
        said = list(error.problems)
    except (ValueError, TypeError) as error:  # what msgspec has __post_init__ raise
        said = [str(error)]
    secrets = sorted(set(secrets_in(section)), key=len, reverse=True)
    problems += [_below(path, struct, _mask(text, secrets)) for text in said]
    return INVALID


def _below(path: str, struct: type[msgspec.Struct], text: str) -> str:
    """A struct's own message under the path of its section; one that starts with a setting goes on from there."""
    if text.startswith((f"{path}.", f"{path}:")):
        return text
    first = text.partition(":")[0].partition(".")[0]
    known = {field.encode_name for field in msgspec.structs.fields(struct)}
    return f"{path}.{text}" if first in known and first != text else f"{path}: {text}"


def _mask(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***").replace(repr(secret)[1:-1], "***")
    return text


def _mapping(section: dict[str, Value], types_: tuple[object, object], path: str, problems: list[str]) -> object:
    member, of = types_
    converted = {key: _convert(item, of, join(path, key), problems) for key, item in section.items()}
    return INVALID if INVALID in converted.values() else _whole(converted, member, path, problems)


def _sequence(items: list[Value], types_: tuple[object, object], path: str, problems: list[str]) -> object:
    member, of = types_
    converted = [_convert(item, of, join(path, index), problems) for index, item in enumerate(items)]
    return INVALID if INVALID in converted else _whole(converted, member, path, problems)


def _whole(value: object, wanted: object, path: str, problems: list[str]) -> object:
    """A container whose items are right, as the container that is wanted."""
    try:
        return msgspec.convert(value, type=cast("type[object]", wanted))
    except msgspec.ValidationError as error:
        problems.append(f"{path}: {str(error).replace('`', '')}")
        return INVALID


def _leaf(value: Value, wanted: object, path: str, problems: list[str]) -> object:
    if value is not None and not isinstance(value, Expanded) and types.is_secret(wanted):
        problems.append(f"{path}: expected ${{env:NAME}}, got a secret itself; put it into a variable, or into a file")
        return INVALID
    candidates: list[object] = [plain(value)]
    if isinstance(value, Expanded):
        candidates.append(value.text)  # a password of digits is a number to YAML
    for candidate in candidates:
        try:
            return msgspec.convert(candidate, type=cast("type[object]", wanted))
        except msgspec.ValidationError:
            continue
    problems.append(f"{path}: expected {types.describe(wanted)}, got {_got(value, wanted)}{_remedy(value, wanted)}")
    return INVALID


def _got(value: Value, wanted: object) -> str:
    if isinstance(value, Expanded) and value.secrets:
        return "something else from the environment"
    value = plain(value)
    if isinstance(value, str) and types.is_scalar(wanted):
        return f"the string {value[:_LONGEST_QUOTE]!r}"
    if isinstance(value, bool | int | float) and types.is_scalar(wanted):
        text = str(value).lower() if isinstance(value, bool) else repr(value)[:_LONGEST_QUOTE]
        return text if isinstance(value, bool) else f"the number {text}"
    return name_of(value)


def _remedy(value: Value, wanted: object) -> str:
    """What to do, where that does not follow from what was expected."""
    if isinstance(value, Expanded):
        return ""
    alternatives = [member for member, _ in types.members(wanted)]
    if isinstance(value, bool | int | float) and str in alternatives:
        return "; put it in quotes"
    words = types.choices(wanted)
    if isinstance(value, str) and words:
        return hint(value, words) if hint(value, words).startswith("; did") else ""
    if isinstance(value, str) and (int in alternatives or float in alternatives) and _is_number(value):
        return "; remove the quotes"
    if isinstance(value, str) and types.item_type(wanted) is not None:
        return "; write it as [...]"
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
