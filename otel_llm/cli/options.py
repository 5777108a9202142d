"""Arguments that several commands have."""

from __future__ import annotations

import argparse
import os

from otel_llm.config import Settings, load


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """--config and --set."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="a YAML file in the Collector's shape, see docs/configuration.md (default: OTLP in on 127.0.0.1:4317 and "
        ":4318, ledger and debug out, and on to OTEL_EXPORTER_OTLP_ENDPOINT when that is set)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="PATH=VALUE",
        help="a single setting, such as exporters.debug.verbosity=detailed; may be given several times",
    )


def load_settings(options: argparse.Namespace) -> Settings:
    """What --config and --set say.

    Raises:
        ConfigError: it is wrong.
    """
    return load(options.config, os.environ, options.overrides)
