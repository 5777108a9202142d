"""Explain what a call costs, line by line.

Counts are those of the conventions: input tokens include the cached ones, output tokens include reasoning. The exit
code is 1 when there is no price; the reason is printed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from pathlib import Path
from typing import Final

import msgspec

from otel_llm.cost import Catalogue, OverlayError, Usage, explain
from otel_llm.errors import ConfigError

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NANOSECONDS_A_MICROSECOND: Final = 1000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("model", metavar="MODEL", help="the model's id as in a span, e.g. gpt-5-mini")
    parser.add_argument("--provider", metavar="P", help="gen_ai.provider.name, e.g. openai (default: by the model)")
    for name, meaning in (
        ("input", "input tokens, cached ones included"),
        ("output", "output tokens, reasoning included"),
        ("cache-read", "input tokens read from the cache"),
        ("cache-write", "input tokens written to the cache"),
        ("reasoning", "output tokens spent on reasoning"),
    ):
        parser.add_argument(f"--{name}", type=_count, metavar="N", help=meaning)
    parser.add_argument("--tier", metavar="T", help="service tier, e.g. priority or flex")
    parser.add_argument("--batch", action="store_true", help="the call was part of a batch")
    parser.add_argument(
        "--at", type=_moment, metavar="DATE", help="when, as 2026-01-31 or 2026-01-31T12:00Z (default: now)"
    )
    parser.add_argument("--prices", metavar="FILE", help="your own prices, see docs/prices.md")


def run(options: argparse.Namespace) -> int:
    """Print the sum; 1 when there is none.

    Raises:
        ConfigError: the price file is wrong.
    """
    usage = Usage(
        input_tokens=options.input,
        output_tokens=options.output,
        cache_read=options.cache_read,
        cache_write=options.cache_write,
        reasoning=options.reasoning,
    )
    at = options.at if options.at is not None else dt.datetime.now(dt.UTC)
    catalogue = _catalogue(options.prices)
    for sentence in catalogue.unmatched():
        print(f"warning: {options.prices}: {sentence}", file=sys.stderr)
    quote = catalogue.quote(
        options.provider,
        options.model,
        usage,
        unix_nano(at),
        processing="batch" if options.batch else None,
        service_tier=options.tier,
    )
    print(explain(quote))
    if quote.basis.model is None and (others := catalogue.providers_of(options.model)):
        print(f"it is listed at {', '.join(others)}: say so with --provider")
    return 0 if quote.total is not None else 1


def unix_nano(moment: dt.datetime) -> int:
    """Nanoseconds since 1970, without a double in between."""
    return (moment - _EPOCH) // dt.timedelta(microseconds=1) * _NANOSECONDS_A_MICROSECOND


def _catalogue(prices: str | None) -> Catalogue:
    if prices is None:
        return Catalogue.load()
    try:
        user = msgspec.yaml.decode(Path(prices).read_bytes(), type=dict[str, object])
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError([f"--prices {prices}: cannot be read: {error}; see docs/prices.md for its form"]) from error
    except ImportError as error:
        raise ConfigError(
            ["--prices: needs pyyaml, which is not installed; pip install 'otel-llm[gateway]'"]
        ) from error
    try:
        return Catalogue.load(user=user)
    except OverlayError as error:
        raise ConfigError([f"--prices {prices}: {problem}" for problem in error.problems]) from error


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > sys.int_info.default_max_str_digits:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, got {text[:60]!r}")
    return int(text)


def _moment(text: str) -> dt.datetime:
    """A date, which means its first moment, or a time; UTC unless it says otherwise."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a date such as 2026-01-31 or a time such as 2026-01-31T12:00Z, got {text[:60]!r}"
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
