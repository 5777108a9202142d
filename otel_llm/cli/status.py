"""Show what a running gateway takes in, sends, holds and drops.

It asks the admin endpoint of the gateway: that of --config, or --endpoint. For every exporter and signal, at all times:
accepted = exported + dropped + queued. The exit code is 1 when no gateway answers there.
"""

from __future__ import annotations

import argparse
import sys
from http.client import HTTPConnection, HTTPException
from typing import Final
from urllib.parse import urlsplit

import msgspec

from otel_llm.cli.options import add_config_options, load_settings
from otel_llm.cli.tables import Column, is_rich, render_table
from otel_llm.delivery.status import DeliveryStatus, HostStatus
from otel_llm.errors import ConfigError

_COLUMNS: Final = (
    Column("exporter"),
    Column("signal"),
    Column("accepted", "right"),
    Column("exported", "right"),
    Column("queued", "right"),
    Column("dropped", "right"),
    Column("why dropped"),
)
_TIMEOUT_SECONDS: Final = 5.0
_OK: Final = 200
_MIB: Final = 1024 * 1024


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config_options(parser)
    parser.add_argument("--endpoint", metavar="HOST:PORT", help="the admin endpoint of the gateway")
    parser.add_argument("--json", action="store_true", help="print what the gateway answers, as it is")


def run(options: argparse.Namespace) -> int:
    """Print the accounts.

    Raises:
        ConfigError: the configuration is wrong, or has no admin endpoint.
    """
    endpoint = options.endpoint or load_settings(options).service.admin.endpoint
    if endpoint is None:
        raise ConfigError(["service.admin.endpoint: expected host:port, got null; the gateway tells its status there"])
    try:
        body = _ask(endpoint)
        status = msgspec.json.decode(body, type=HostStatus)
    except (OSError, HTTPException, ValueError, msgspec.DecodeError) as error:
        sys.stderr.write(f"otel-llm: no status from {endpoint}: {error}\n")
        return 1
    print(body.decode() if options.json else render(status), end="\n" if options.json else "")
    return 0


def _ask(endpoint: str) -> bytes:
    address = urlsplit(f"//{endpoint}")
    connection = HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/status")
        answer = connection.getresponse()
        if answer.status != _OK:
            raise HTTPException(f"it answered {answer.status}")
        return answer.read()
    finally:
        connection.close()


def render(status: HostStatus) -> str:
    """The status for people."""
    state = "ready" if status.not_ready is None else f"not ready: {status.not_ready}"
    rows = [
        [
            _name(one),
            signal,
            f"{account.accepted:,}",
            f"{account.exported:,}",
            f"{account.queued:,}",
            f"{sum(account.dropped.values()):,}",
            ", ".join(f"{reason} {items:,}" for reason, items in sorted(account.dropped.items())),
        ]
        for one in status.exporters
        for signal, account in one.signals.items()
    ]
    lines = [f"otel-llm {status.version}, up for {_duration(status.up_seconds)}, {state}\n"]
    lines += [_exporter(one) for one in status.exporters]
    table = render_table(_COLUMNS, rows, bold=is_rich()) if rows else "nothing was accepted yet\n"
    return "".join(lines) + "\n" + table


def _exporter(one: DeliveryStatus) -> str:
    said = [f"queue on {one.queue}" if one.queue == "disk" else "queue in memory"]
    said.append(f"{one.size_bytes / _MIB:.1f} of {one.capacity_bytes / _MIB:.1f} MiB")
    if one.failing_seconds is not None:
        said.append(f"FAILING for {_duration(one.failing_seconds)}, again in {_duration(one.retry_in_seconds or 0)}")
    if one.problem:
        said.append(one.problem)
    if one.dead_letter_items:
        said.append(f"{one.dead_letter_items:,} items refused for good: otel-llm queue inspect --letters")
    if one.damaged_segments:
        said.append(f"{one.damaged_segments} damaged files were found at the start: otel-llm queue inspect")
    return f"{_name(one)}: {'; '.join(said)}\n"


def _name(one: DeliveryStatus) -> str:
    return f"{one.name} (worker {one.worker})" if one.worker else one.name


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
