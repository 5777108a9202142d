"""From a path to Settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from otel_llm.config.settings import Settings
from otel_llm.config.values import Value
from otel_llm.errors import ConfigError

DEFAULTS: Final = "defaults"
_MOST_BYTES: Final = 4 * 1024 * 1024


def load(path: str | None, environment: Mapping[str, str], overrides: Iterable[str] = ()) -> Settings:
    """Read, check and put together a configuration.

    Args:
        path: a YAML file; None for the defaults, which are the only case in which OTEL_EXPORTER_OTLP_* counts.
        environment: variables by name, for `${env:NAME}`.
        overrides: `path=value` each; they win.

    Raises:
        ConfigError: with everything that is wrong, not only the first thing. No message shows what came from the
            environment, except an endpoint that leads back to this process.
    """
    try:
        return _load(path, environment, overrides)
    except ModuleNotFoundError as error:
        if error.name != "yaml":
            raise
        problem = "reading a configuration needs pyyaml, which is not installed; pip install 'otel-llm[gateway]'"
        raise ConfigError([problem]) from error


def _load(path: str | None, environment: Mapping[str, str], overrides: Iterable[str]) -> Settings:
    # Not at the top: what needs YAML is not part of the in-app installation, and this package is.
    from otel_llm.config.environment import expand  # noqa: PLC0415 - see above
    from otel_llm.config.overrides import apply_overrides  # noqa: PLC0415 - see above
    from otel_llm.config.resolve import resolve  # noqa: PLC0415 - see above

    problems: list[str] = []
    document, origins = _document(path, environment, problems)
    apply_overrides(document, overrides, problems)
    expanded = {key: expand(value, environment, problems, key) for key, value in document.items()}
    try:
        return resolve(expanded, path or DEFAULTS, problems)
    except ConfigError as error:
        raise ConfigError([_with_origin(problem, origins) for problem in error.problems]) from None


def _document(
    path: str | None, environment: Mapping[str, str], problems: list[str]
) -> tuple[dict[str, Value], Mapping[str, str]]:
    """The document, and which settings of it come from which variable."""
    if path is None:
        from otel_llm.config.defaults import default_configuration  # noqa: PLC0415 - needs YAML, see _load

        defaults = default_configuration(environment, problems)
        return defaults.document, defaults.origins
    from otel_llm.config.document import read_document  # noqa: PLC0415 - needs YAML, see _load

    return read_document(_read_file(path), path), {}


def _read_file(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        return data.decode("utf-8-sig")
    except OSError as error:
        problem = f"{path}: cannot be read ({error.strerror or error}); give the path of a YAML file to --config"
        raise ConfigError([problem]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: expected UTF-8 text, got something else at byte {error.start}"]) from error
    except ValueError as error:  # a path with a null character
        raise ConfigError([f"{path!r}: not a path"]) from error


def _with_origin(problem: str, origins: Mapping[str, str]) -> str:
    """The problem with the variable in front that the setting comes from, for those who have no file to look into."""
    path = problem.partition(": ")[0]
    variable = origins.get(path)
    return problem if variable is None else f"{variable} ({path}){problem[len(path) :]}"
