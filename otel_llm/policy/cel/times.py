"""Timestamps and durations. Source: cel-spec, doc/langdef.md, "Timezones" and the list of standard definitions."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from otel_llm.policy.cel.errors import CelError
from otel_llm.policy.cel.overloads import Overload
from otel_llm.policy.cel.types import DURATION, INT, STRING, TIMESTAMP
from otel_llm.policy.cel.values import Duration, Timestamp

SECOND: Final = 1_000_000_000
_MILLISECOND: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST: Final = -62_135_596_800 * SECOND  # 0001-01-01T00:00:00Z
_LATEST: Final = 253_402_300_800 * SECOND - 1  # 9999-12-31T23:59:59.999999999Z
_LONGEST: Final = 315_576_000_000 * SECOND
_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": _MILLISECOND,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}
_TIMESTAMP: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})\Z"
)
_DURATION_PART: Final = re.compile(r"([0-9]{1,20})?(?:\.([0-9]{0,20}))?(ns|us|µs|μs|ms|s|m|h)")
_OFFSET: Final = re.compile(r"([+-]?)([0-9]{2}):([0-9]{2})\Z")


def timestamp(unix_nano: int) -> Timestamp:
    """A timestamp, from year 1 to year 9999.

    Raises:
        CelError: it is out of that range.
    """
    if _EARLIEST <= unix_nano <= _LATEST:
        return Timestamp(unix_nano)
    raise CelError("timestamp out of range")


def duration(nanos: int) -> Duration:
    """A duration, of at most some 10,000 years.

    Raises:
        CelError: it is out of that range.
    """
    # Beyond what 64 bits of nanoseconds hold, other implementations overflow as well.
    if -_LONGEST <= nanos <= _LONGEST and -(2**63) <= nanos < 2**63:
        return Duration(nanos)
    raise CelError("duration out of range")


def add(one: Timestamp, other: Duration) -> Timestamp:
    """The later timestamp."""
    return timestamp(one.unix_nano + other.nanos)


def parse_timestamp(text: str) -> Timestamp:
    """RFC 3339.

    Raises:
        CelError: it is no timestamp.
    """
    match = _TIMESTAMP.match(text)
    if match is None:
        raise CelError("timestamp() of a string that is no RFC 3339 timestamp")
    *date, fraction, zone = match.groups()
    try:
        moment = datetime(*map(int, date), tzinfo=UTC)  # type: ignore[misc, arg-type] # six integers
    except ValueError:
        raise CelError("timestamp() of a date that does not exist") from None
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    if zone not in "Zz":
        sign = -1 if zone[0] == "-" else 1
        seconds -= sign * (int(zone[1:3]) * 3600 + int(zone[4:6]) * 60)
    return timestamp(seconds * SECOND + int((fraction or "").ljust(9, "0")))


def parse_duration(text: str) -> Duration:
    """A sequence of numbers with units, e.g. `1h30m` or `-1.5s`.

    Raises:
        CelError: it is no duration.
    """
    rest = text.removeprefix("-").removeprefix("+")
    nanos = position = 0
    while position < len(rest):
        match = _DURATION_PART.match(rest, position)
        if match is None or not (match[1] or match[2]):
            raise CelError("duration() of a string that is no duration")
        unit = _UNITS[match[3]]
        fraction = match[2] or ""
        nanos += int(match[1] or 0) * unit + int(fraction or 0) * unit // 10 ** len(fraction)
        position = match.end()
    if not rest or len(text) - len(rest) > 1:
        raise CelError("duration() of a string that is no duration")
    return duration(-nanos if text.startswith("-") else nanos)


def timestamp_text(value: Timestamp) -> str:
    """RFC 3339 in UTC, with as many digits as needed."""
    seconds, nanos = divmod(value.unix_nano, SECOND)
    moment = _EPOCH + timedelta(seconds=seconds)
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    return f"{moment.year:04d}-{moment:%m-%dT%H:%M:%S}{fraction}Z"


def duration_text(value: Duration) -> str:
    """Seconds, with as many digits as needed."""
    seconds, nanos = divmod(abs(value.nanos), SECOND)
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    return f"{'-' if value.nanos < 0 else ''}{seconds}{fraction}s"


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo:
    match = _OFFSET.match(name)
    if match is not None:
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        if offset >= timedelta(days=1):
            raise CelError("unknown time zone")
        return timezone(-offset if match[1] == "-" else offset)
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise CelError("unknown time zone") from None


def _local(value: Timestamp, zone: str) -> datetime:
    moment = _EPOCH + timedelta(seconds=value.unix_nano // SECOND)
    try:
        return moment.astimezone(_zone(zone))
    except OverflowError:
        raise CelError("timestamp out of range") from None


_PARTS: Final[dict[str, Callable[[datetime], int]]] = {
    "getFullYear": lambda moment: moment.year,
    "getMonth": lambda moment: moment.month - 1,
    "getDate": lambda moment: moment.day,
    "getDayOfMonth": lambda moment: moment.day - 1,
    "getDayOfWeek": lambda moment: moment.isoweekday() % 7,
    "getDayOfYear": lambda moment: moment.timetuple().tm_yday - 1,
    "getHours": lambda moment: moment.hour,
    "getMinutes": lambda moment: moment.minute,
    "getSeconds": lambda moment: moment.second,
}
_DURATION_PARTS: Final = {
    "getHours": 3600 * SECOND,
    "getMinutes": 60 * SECOND,
    "getSeconds": SECOND,
}


def _milliseconds(value: Timestamp, zone: str = "UTC") -> int:
    _zone(zone)
    return value.unix_nano % SECOND // _MILLISECOND


def _part(read: Callable[[datetime], int]) -> Callable[..., int]:
    return lambda value, zone="UTC": read(_local(value, zone))


def _whole(unit: int) -> Callable[[Duration], int]:
    return lambda value: abs(value.nanos) // unit * (-1 if value.nanos < 0 else 1)


def _duration_milliseconds(value: Duration) -> int:
    return abs(value.nanos) % SECOND // _MILLISECOND * (-1 if value.nanos < 0 else 1)


def _overloads() -> list[Overload]:
    found = []
    readers = {name: _part(read) for name, read in _PARTS.items()} | {"getMilliseconds": _milliseconds}
    for name, read in readers.items():
        found.append(Overload(name, (TIMESTAMP,), INT, read, is_method=True))
        found.append(Overload(name, (TIMESTAMP, STRING), INT, read, is_method=True, is_linear=True))
    for name, unit in _DURATION_PARTS.items():
        found.append(Overload(name, (DURATION,), INT, _whole(unit), is_method=True))
    found.append(Overload("getMilliseconds", (DURATION,), INT, _duration_milliseconds, is_method=True))
    return found


OVERLOADS: Final = tuple(_overloads())
