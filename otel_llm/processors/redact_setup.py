"""From the section of the redact processor to a redactor: detectors, operators, keys, with every problem at once."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, cast

import msgspec

from otel_llm.audit.config import read_key
from otel_llm.errors import ConfigError
from otel_llm.nearest import hint
from otel_llm.policy.detectors import (
    ALL_TYPES,
    ATTACK_TYPES,
    PERSONAL_TYPES,
    SECRET_TYPES,
    CallableDetector,
    CustomPattern,
    DetectorSet,
    PatternError,
    Presidio,
    built_in,
    custom,
    gitleaks,
)
from otel_llm.policy.findings import Detector
from otel_llm.policy.redaction import CREDENTIAL, TYPE_NAME, KeyProblem, Operator, OperatorName, Redactor, operator
from otel_llm.processors.redact_config import CallableConfig, Config

_GROUPS: Final = {"personal": PERSONAL_TYPES, "secrets": SECRET_TYPES, "attacks": ATTACK_TYPES}


def make_redactor(config: Config, path: str) -> Redactor:
    """The redactor of these settings.

    Args:
        config: the settings.
        path: where they stand, for messages.

    Raises:
        ConfigError: with every problem.
    """
    problems: list[str] = []
    types = _types(config, path, problems)
    own = _own_detectors(config, path, problems)
    own_types = frozenset(type_ for detector in own for type_ in detector.types)
    operators = _operators(config, path, types | own_types | {CREDENTIAL}, problems)
    if config.audit is not None:
        try:
            read_key(config.audit.key, config.audit.key_file, f"{path}.audit")
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    detectors = DetectorSet((*built_in(types), *own), types | own_types, allowed=config.allow)
    default = operators.pop("")
    return Redactor(detectors, operators, default, credential_names=config.credential_names)


def _types(config: Config, path: str, problems: list[str]) -> frozenset[str]:
    wanted = _named(config.types, f"{path}.types", problems)
    return wanted - _named(config.except_types, f"{path}.except_types", problems)


def _named(given: Iterable[str], path: str, problems: list[str]) -> frozenset[str]:
    found: set[str] = set()
    for index, name in enumerate(given):
        if name in _GROUPS:
            found |= _GROUPS[name]
        elif name in ALL_TYPES:
            found.add(name)
        else:
            problems.append(f"{path}.{index}: no type {name!r}{hint(name, (*_GROUPS, *sorted(ALL_TYPES)))}")
    return frozenset(found)


def _own_detectors(config: Config, path: str, problems: list[str]) -> list[Detector]:
    made: list[Detector] = []
    if config.patterns:
        names = (one.type for one in config.patterns)
        _check_names(names, f"{path}.patterns", problems)
        patterns = [CustomPattern(*msgspec.structs.astuple(one)) for one in config.patterns]
        _collect(made, lambda: custom(patterns), f"{path}.patterns.", problems)
    for index, file in enumerate(config.gitleaks):
        _collect(made, lambda file=file: gitleaks(_read(file)), f"{path}.gitleaks.{index}: ", problems)  # type: ignore[misc]
    for index, one in enumerate(config.detectors):
        where = f"{path}.detectors.{index}"
        _check_names(one.types, f"{where}.types", problems)
        _collect(made, lambda one=one: _callable(one), f"{where}.function: ", problems)  # type: ignore[misc]
    if config.presidio is not None:
        presidio = config.presidio
        _check_names(presidio.types, f"{path}.presidio.types", problems)
        _collect(
            made,
            lambda: Presidio(presidio.types, presidio.language, presidio.least_score),
            f"{path}.presidio: ",
            problems,
        )
    return made


def _collect(made: list[Detector], make: Callable[[], Detector], prefix: str, problems: list[str]) -> None:
    try:
        made.append(make())
    except PatternError as error:
        problems += [prefix + problem for problem in error.problems]
    except ImportError as error:
        problems.append(f"{prefix}cannot be imported: {error}")
    except OSError as error:
        problems.append(f"{prefix}cannot be read: {error.strerror or type(error).__name__}")
    except (AttributeError, TypeError, ValueError) as error:
        problems.append(f"{prefix}{error}")


def _read(file: str) -> str:
    return Path(file).read_text(encoding="utf-8")


def _callable(config: CallableConfig) -> Detector:
    module, colon, name = config.function.partition(":")
    if not (module and colon and name):
        raise ValueError(f"expected package.module:function, got {config.function!r}")
    function: object = getattr(importlib.import_module(module), name)
    if not callable(function):
        raise TypeError(f"{config.function} is no function")
    return CallableDetector(config.name, config.types, cast("Callable[[str], Iterable[Sequence[object]]]", function))


def _check_names(types: Iterable[str], path: str, problems: list[str]) -> None:
    problems += [
        f"{path}: expected a type of letters, digits, '_', '.' and '-', got {type_[:80]!r}"
        for type_ in types
        if not TYPE_NAME.fullmatch(type_)
    ]


def _operators(config: Config, path: str, types: frozenset[str], problems: list[str]) -> dict[str, Operator]:
    """By type; under the empty name, the one for all others."""
    problems += [
        f"{path}.operators.{type_}: no such type is taken out{hint(type_, sorted(types))}"
        for type_ in config.operators
        if type_ not in types
    ]
    key = _key(config, path, problems)
    found: dict[str, Operator] = {}
    chosen: Mapping[str, OperatorName] = {"": config.operator, **config.operators}
    for type_, name in chosen.items():
        try:
            found[type_] = operator(name, key)
        except KeyProblem as error:
            problems.append(f"{path}.{f'operators.{type_}' if type_ else 'operator'}: {error}")
    return found


def _key(config: Config, path: str, problems: list[str]) -> bytes | None:
    if config.key is not None and config.key_file is not None:
        problems.append(f"{path}: key and key_file are both set; remove one of them")
    if config.key_file is not None:
        try:
            return Path(config.key_file).read_bytes().removesuffix(b"\n").removesuffix(b"\r")
        except OSError as error:
            problems.append(f"{path}.key_file: cannot be read: {error.strerror or type(error).__name__}")
    return None if config.key is None else config.key.encode()
