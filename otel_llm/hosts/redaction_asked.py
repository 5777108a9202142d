"""What an app's environment says about redaction, for apps that set up nothing themselves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_llm.errors import ConfigError

if TYPE_CHECKING:
    from otel_llm.config.values import Value
    from otel_llm.hosts.redacting import Redaction
    from otel_llm.processors.redact_config import Config

VARIABLE: Final = "OTEL_LLM_REDACTION"
_ON: Final = frozenset({"true", "1", "on"})
_OFF: Final = frozenset({"", "false", "0", "off"})


def redaction_of(environment: Mapping[str, str]) -> Redaction | None:
    """What OTEL_LLM_REDACTION asks for: `true`, or the file of the settings; None when it asks for none.

    Raises:
        ConfigError: the file cannot be read or used. Then nothing may be exported.
    """
    asked = environment.get(VARIABLE, "").strip()
    if asked.lower() in _OFF:
        return None
    try:
        from otel_llm.hosts.redacting import Redaction  # noqa: PLC0415 - only where it is asked for
    except ImportError as error:
        raise ConfigError([f"{VARIABLE}: needs opentelemetry-sdk 1.38 or later"]) from error
    return Redaction(None if asked.lower() in _ON else _read(asked, environment))


def _read(path: str, environment: Mapping[str, str]) -> Config:
    try:
        from otel_llm.config.document import read_value  # noqa: PLC0415 - needs PyYAML, which an app need not have
        from otel_llm.config.environment import expand  # noqa: PLC0415 - as above
        from otel_llm.config.structs import convert_section  # noqa: PLC0415 - as above
        from otel_llm.processors.redact_config import Config  # noqa: PLC0415 - as above
    except ImportError as error:
        raise ConfigError([f"{VARIABLE}: {path}: a file needs PyYAML: pip install pyyaml"]) from error
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigError([f"{VARIABLE}: {path}: cannot be read: {reason}"]) from error
    problems: list[str] = []
    value: Value = expand(read_value(text, path), environment, problems, path)
    config = convert_section(value, Config, path, problems)
    if config is None or problems:
        raise ConfigError(problems)
    return config
