"""What users write about budgets, and the budgets that it means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from otel_llm.budget.model import Budget
from otel_llm.budget.money import to_nano
from otel_llm.budget.periods import Period
from otel_llm.credentials import Secret, read_secret_file
from otel_llm.errors import ConfigError
from otel_llm.nearest import hint

# The words that stand for who and what a call is for; as in the ledger. Other keys of a match are attributes.
WORDS: Final = ("service", "environment", "owner", "tenant", "user", "feature", "provider", "model", "operation")
# Amounts beyond could fill a counter of 64 bits.
_LARGEST: Final = 10**9

Share = Annotated[float, msgspec.Meta(gt=0, le=10)]


class BudgetConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One budget."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    """Its name; unique. What was counted is found again under it: another name begins at nothing."""

    owner: str | None = None
    """Who answers for it; on its metrics and events."""

    match: dict[str, str | tuple[str, ...]] = {}
    """Which calls it is for: for each key the value, or the values, that a call must have. Keys are `service`,
    `environment`, `owner`, `tenant`, `user`, `feature`, `provider`, `model`, `operation`, or attributes of the span or
    else of its resource. Every call without it."""

    limit: Annotated[float, msgspec.Meta(gt=0, le=_LARGEST)]
    """Most money that may be spent in a period, in units of the currency."""

    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] = "USD"
    """Of the limit, ISO 4217. A call priced in another currency counts as a call without a price."""

    period: Literal["day", "month", "rolling"] = "month"
    """What the limit is for: a calendar day, a calendar month, or the last `hours`."""

    hours: Annotated[int, msgspec.Meta(ge=1, le=720)] = 24
    """Length of a rolling period; it forgets a twenty-fourth of it at a time."""

    time_zone: str = "UTC"
    """Whose calendar days and months are of, e.g. `Europe/Berlin`."""

    warn_at: tuple[Share, ...] = (0.5, 0.8, 1.0)
    """Shares of the limit whose crossing is told, as a log event and in the log."""

    at_limit: Literal["record", "warn", "deny"] = "record"
    """What becomes of a call whose app asks before it makes it, once the limit is reached: nothing (`record`); it is
    marked (`warn`); it is not made, and the app gets a DeniedError (`deny`)."""

    when_unknown: Literal["allow", "deny"] = "allow"
    """With `deny`: what becomes of a call when nobody can tell whether the limit is reached, because the store has not
    been reached for too long."""


class RedisConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The Redis that counters are kept in."""

    url: str
    """`redis://host:port/database`, `rediss://` with TLS, `unix:///path` for a socket. Without credentials."""

    username: str | None = None
    """Who we are there."""

    password: Secret | None = None
    """Our password, as `${env:NAME}`."""

    password_file: str | None = None
    """Or the file with the password."""

    ca_file: str | None = None
    """With TLS, the certificate of who signed the server's; those that the system trusts without it."""

    key_prefix: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_.:-]+$")] = "otel_llm"
    """What all keys begin with, in braces: one for each set of budgets that shares a Redis with others."""

    timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=30)] = 1.0
    """How long to wait to connect, and for an answer. Nothing but the thread that writes waits for it."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Counts what calls cost against budgets; docs/budgets.md is the guide. Behind `cost`."""

    budgets: tuple[BudgetConfig, ...] = ()
    """The budgets."""

    file: str | None = None
    """A YAML file with further budgets, under `budgets:`; for apps and gateways that share them."""

    path: str = "otel-llm-budget.db"
    """The SQLite file that counters are kept in, for all processes of one machine; made when it is not there. Not used
    with `redis`."""

    redis: RedisConfig | None = None
    """Keep counters in Redis, for processes on several machines."""

    interval_seconds: Annotated[float, msgspec.Meta(gt=0, le=60)] = 1.0
    """How often what was counted is written to the store, and what others have counted is read."""

    fresh_seconds: Annotated[float, msgspec.Meta(gt=0)] = 15.0
    """How old what the store has said may be before it is called stale."""

    count_already_priced: bool = False
    """Whether to count spans that came with a cost from a gateway before this one. Leave it off where that one counts
    for the same budgets. Those that an app priced are counted in any case, unless it has reserved their money."""

    remembered_spans: Annotated[int, msgspec.Meta(ge=0)] = 100_000
    """How many spans are remembered at least to count each of them once when senders retry, twice as many at most;
    some 150 bytes each."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    budgets: tuple[BudgetConfig, ...]


def read_budgets(config: Config, setting: str) -> tuple[Budget, ...]:
    """The budgets of a configuration and of the file that it names.

    Args:
        config: the settings.
        setting: their path in the configuration, for messages.

    Raises:
        ConfigError: there are none, the file cannot be read, or budgets have problems; with every problem.
    """
    problems: list[str] = []
    found = [(f"{setting}.budgets[{number}]", one) for number, one in enumerate(config.budgets)]
    if config.file is not None:
        found += [(f"{config.file}: budgets[{n}]", one) for n, one in enumerate(_read_file(config.file, setting))]
    if not found:
        problems.append(f"{setting}: no budgets; expected some in budgets, or a file of them")
    budgets = [_budget(one, path, problems) for path, one in found]
    names = [one.name for _, one in found]
    problems += [
        f"{path}.name: {one.name!r} is the name of another budget, too; choose another"
        for number, (path, one) in enumerate(found)
        if one.name in names[:number]
    ]
    if problems:
        raise ConfigError(problems)
    return tuple(one for one in budgets if one is not None)


def _read_file(file: str, setting: str) -> Sequence[BudgetConfig]:
    try:
        return msgspec.yaml.decode(Path(file).expanduser().read_bytes(), type=_File).budgets
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError([f"{setting}.file: cannot read {file} ({reason}); give a YAML file with budgets"]) from None
    except ImportError:
        raise ConfigError([f"{setting}.file: YAML needs pyyaml; pip install 'otel-llm[policy]'"]) from None
    except msgspec.MsgspecError as error:
        raise ConfigError([f"{setting}.file: {file}: {error}"]) from None


def _budget(config: BudgetConfig, path: str, problems: list[str]) -> Budget | None:
    zone = _zone(config.time_zone, path, problems)
    match = {key: frozenset(_values(value)) for key, value in config.match.items()}
    for key, values in match.items():
        if key not in WORDS and "." not in key:
            problems.append(
                f"{path}.match.{key}: expected one of {', '.join(WORDS)}, or an attribute{hint(key, WORDS)}"
            )
        if not values:
            problems.append(f"{path}.match.{key}: expected at least one value; a budget for no call is none")
    if zone is None:
        return None
    return Budget(
        config.name,
        match,
        to_nano(config.limit),
        config.currency,
        Period(config.period, zone, config.hours),
        config.owner,
        tuple(sorted(set(config.warn_at))),
        config.at_limit,
        config.when_unknown,
    )


def _values(value: str | Iterable[str]) -> Iterable[str]:
    return (value,) if isinstance(value, str) else value


def _zone(name: str, path: str, problems: list[str]) -> tzinfo | None:
    if name == "UTC":  # a small image has no other
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        problems.append(
            f"{path}.time_zone: there is no time zone {name!r} here; expected one such as Europe/Berlin, with the "
            f"package tzdata where the system has none"
        )
        return None


def password_of(config: RedisConfig, setting: str) -> str | None:
    """The password for Redis, None when there is none.

    Raises:
        ConfigError: the file cannot be read, or there are two passwords.
    """
    if config.password is not None and config.password_file is not None:
        raise ConfigError([f"{setting}: password and password_file; expected one of them"])
    return config.password if config.password_file is None else read_secret_file(config.password_file, setting)
