"""Show what a running gateway takes in, sends, holds and drops.

It asks the admin endpoint of the gateway: that of --config, or --endpoint. Where that wants a key, the first one of
service.admin.keys in --config is used, or a token from --token-file or OTEL_LLM_ADMIN_TOKEN. For every exporter and
signal, at all times: accepted = exported + dropped + queued. The exit code is 1 when no gateway answers there.
"""

from __future__ import annotations

import argparse
import os
import ssl
import sys
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection, RemoteDisconnected
from typing import Final
from urllib.parse import urlsplit

import msgspec

from otel_llm.cli.options import add_config_options, load_settings
from otel_llm.cli.tables import Column, is_rich, render_table
from otel_llm.config.service import AdminConfig
from otel_llm.credentials import read_secret_file
from otel_llm.delivery.status import DeliveryStatus, HostStatus, ReceiverStatus
from otel_llm.errors import ConfigError
from otel_llm.exporters.auth import AuthConfig, Authorization
from otel_llm.receivers.auth import KeyConfig
from otel_llm.receivers.endpoint import given

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
_UNAUTHORIZED: Final = 401
_MIB: Final = 1024 * 1024


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config_options(parser)
    parser.add_argument(
        "--endpoint", metavar="HOST:PORT", help="the admin endpoint of the gateway; https://HOST:PORT with TLS"
    )
    parser.add_argument("--token-file", metavar="FILE", help="a token for it, where it wants one")
    parser.add_argument("--ca-file", metavar="FILE", help="PEM file with the authority of its certificate")
    parser.add_argument("--json", action="store_true", help="print what the gateway answers, as it is")


def run(options: argparse.Namespace) -> int:
    """Print the accounts.

    Raises:
        ConfigError: the configuration is wrong, or has no admin endpoint.
    """
    admin = _admin(options)
    try:
        body = _ask(admin)
        status = msgspec.json.decode(body, type=HostStatus)
    except (OSError, HTTPException, ValueError, msgspec.DecodeError) as error:
        sys.stderr.write(f"otel-llm: no status from {admin.endpoint}: {error}{_advice(admin, error)}\n")
        return 1
    print(body.decode() if options.json else render(status), end="\n" if options.json else "")
    return 0


def _advice(admin: _Admin, error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "; give --ca-file with the authority of its certificate"
    if isinstance(error, RemoteDisconnected) and admin.tls is None:
        return "; if it speaks TLS there, give --endpoint https://HOST:PORT"
    return ""


@dataclass(frozen=True, slots=True)
class _Admin:
    """Where the gateway tells its status, and who we are there.

    Attributes:
        endpoint: host:port.
        tls: how to speak TLS; None for plain HTTP.
        authorization: the header field of that name, None for nobody.
    """

    endpoint: str
    tls: ssl.SSLContext | None
    authorization: str | None


def _admin(options: argparse.Namespace) -> _Admin:
    config = AdminConfig(endpoint=options.endpoint) if options.endpoint else load_settings(options).service.admin
    if config.endpoint is None:
        raise ConfigError(["service.admin.endpoint: expected host:port, got null; the gateway tells its status there"])
    scheme, _, endpoint = config.endpoint.rpartition("://")
    is_plain = scheme != "https" and given(config.tls) is None
    try:
        tls = None if is_plain else ssl.create_default_context(cafile=options.ca_file)
    except OSError as error:
        raise ConfigError([f"--ca-file: expected PEM certificates, got {options.ca_file} ({error})"]) from None
    return _Admin(endpoint, tls, _authorization(options, config.keys))


def _authorization(options: argparse.Namespace, keys: tuple[KeyConfig, ...]) -> str | None:
    token = read_secret_file(options.token_file, "--token-file") if options.token_file else None
    token = token or os.environ.get("OTEL_LLM_ADMIN_TOKEN")
    if token:
        return f"Bearer {token}"
    if not keys:
        return None
    first = keys[0]
    ours = AuthConfig(
        token=first.token,
        token_file=first.token_file,
        username=first.username,
        password=first.password,
        password_file=first.password_file,
    )
    return Authorization(ours, "service.admin.keys[0]").value()


def _ask(admin: _Admin) -> bytes:
    address = urlsplit(f"//{admin.endpoint}")
    place = (address.hostname or "127.0.0.1", address.port)
    if admin.tls is None:
        connection = HTTPConnection(*place, timeout=_TIMEOUT_SECONDS)
    else:
        connection = HTTPSConnection(*place, timeout=_TIMEOUT_SECONDS, context=admin.tls)
    try:
        connection.request("GET", "/status", headers=_headers(admin))
        answer = connection.getresponse()
        if answer.status == _UNAUTHORIZED:
            raise HTTPException(
                "it wants a key (401); give --token-file, OTEL_LLM_ADMIN_TOKEN, or --config with its keys"
            )
        if answer.status != _OK:
            raise HTTPException(f"it answered {answer.status}")
        return answer.read()
    finally:
        connection.close()


def _headers(admin: _Admin) -> dict[str, str]:
    return {} if admin.authorization is None else {"authorization": admin.authorization}


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
    lines += [_receiver(one) for one in status.receivers]
    lines += [_exporter(one) for one in status.exporters]
    table = render_table(_COLUMNS, rows, bold=is_rich()) if rows else "nothing was accepted yet\n"
    return "".join(lines) + "\n" + table


def _receiver(one: ReceiverStatus) -> str:
    lag = "lag unknown" if one.lag is None else f"{one.lag:,} messages behind"
    said = [f"group {one.group}: {one.partitions} partitions", lag]
    if one.waiting_seconds is not None:
        said.append(f"PAUSED for {_duration(one.waiting_seconds)}, until exporters have room")
    if one.problem:
        said.append(f"FAILING: {one.problem}")
    if one.dead_letter_messages:
        said.append(f"{one.dead_letter_messages:,} messages were no OTLP requests")
    return f"{_name(one)}: {'; '.join(said)}\n"


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


def _name(one: DeliveryStatus | ReceiverStatus) -> str:
    return f"{one.name} (worker {one.worker})" if one.worker else one.name


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
