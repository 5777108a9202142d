"""A judge behind an endpoint that speaks OpenAI's chat completions: the provider itself, a proxy, or a local server.

Asked over a client of our own and not over an SDK, so that no instrumentation reports it as a call of the application.
Source: OpenAI API reference, "Create chat completion".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec

from otel_llm.credentials import Secret
from otel_llm.errors import ConfigError, PermanentError, RetryableError
from otel_llm.exporters.http_client import Answer, HttpClient
from otel_llm.exporters.tls import ClientTls, TlsConfig
from otel_llm.processors.judging.question import Reply

_RETRYABLE: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_OK: Final = 200
_LONGEST_RETRY_AFTER: Final = 300.0


class EndpointConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An endpoint that speaks OpenAI's chat completions."""

    url: str
    """Its base, as for OpenAI's SDK, e.g. `https://api.openai.com/v1`."""

    model: str
    """The model to ask. Another family's than the one that answers: models prefer their own."""

    provider: str | None = None
    """Whose prices apply, as `gen_ai.provider.name`. Told by the model when it is not said."""

    api_key: Secret | None = None
    """Sent as a bearer token, as `${env:NAME}`."""

    timeout_seconds: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """How long one question may take."""

    structured_output: Literal["json_schema", "json_object", "none"] = "json_schema"
    """How the endpoint is to hold the model to JSON. What it answers is checked in any case."""

    max_output_tokens: Annotated[int, msgspec.Meta(ge=16)] = 500
    """The longest answer. What it would cost is set aside before asking."""

    tls: TlsConfig = TlsConfig()
    """Whom to trust when the address begins with https://, and who we are."""


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None


class EndpointJudge:
    """Asks the endpoint.

    Args:
        config: where, and how.
        setting: the path of its section, for messages.

    Raises:
        ConfigError: the address, the key or a file of TLS cannot be used.
    """

    def __init__(self, config: EndpointConfig, setting: str) -> None:
        self.model = config.model
        self._config = config
        self._client, self._head = _connect(config, setting)

    @property
    def is_stuck(self) -> bool:
        """Never: a request ends with its time."""
        return False

    def ask(self, instructions: str, material: str, schema: Mapping[str, object]) -> Reply:
        """One chat completion.

        Raises:
            RetryableError: no answer in time, or one of those that may be retried.
            PermanentError: any other refusal, or an answer that is no chat completion.
        """
        body = msgspec.json.encode(self._request(instructions, material, schema))
        head = b"%bcontent-length: %d\r\n\r\n" % (self._head, len(body))
        try:
            answer = self._client.post(head, (body,), self._config.timeout_seconds)
        except OSError as error:
            raise RetryableError(f"the judge gives no answer: {type(error).__name__}") from error
        return _read(answer)

    def _request(self, instructions: str, material: str, schema: Mapping[str, object]) -> dict[str, object]:
        request: dict[str, object] = {
            "model": self._config.model,
            "temperature": 0,
            "max_tokens": self._config.max_output_tokens,
            "messages": [
                {"role": "system", "content": instructions},
                {"role": "user", "content": material},
            ],
        }
        form = self._config.structured_output
        if form == "json_schema":
            named = {"name": "judgement", "strict": True, "schema": schema}
            request["response_format"] = {"type": form, "json_schema": named}
        elif form == "json_object":
            request["response_format"] = {"type": form}
        return request

    def close(self) -> None:
        """Close all connections; what is being asked fails. Idempotent."""
        self._client.close()


def _connect(config: EndpointConfig, setting: str) -> tuple[HttpClient, bytes]:
    problems = []
    key = config.api_key or ""
    if not key.isascii() or not (key.isprintable() or not key) or " " in key:
        problems.append(f"{setting}.api_key: expected printable ASCII without spaces, got something else")
    try:
        address = urlsplit(config.url)
        port = address.port or (443 if address.scheme == "https" else 80)
    except ValueError:
        raise ConfigError([f"{setting}.url: expected an address such as https://host/v1"]) from None
    if address.scheme not in ("http", "https") or not address.hostname or address.username is not None:
        problems.append(f"{setting}.url: expected http://host:port/path or https://host/path without credentials")
    if not config.url.isascii() or not config.url.isprintable() or " " in config.url:
        problems.append(f"{setting}.url: expected printable ASCII without spaces")
    if problems:
        raise ConfigError(problems)
    tls = ClientTls(config.tls, f"{setting}.tls") if address.scheme == "https" else None
    lines = [
        f"POST {address.path.rstrip('/')}/chat/completions HTTP/1.1",
        f"host: {address.netloc}",
        "content-type: application/json",
        "accept: application/json",
        *([f"authorization: Bearer {key}"] if key else []),
    ]
    head = "".join(f"{line}\r\n" for line in lines).encode("ascii")
    return HttpClient(address.hostname or "", port, tls, config.tls.server_name_override), head


def _read(answer: Answer) -> Reply:
    if answer.status in _RETRYABLE:
        raise RetryableError(f"the judge answered {answer.status}", _retry_after(answer))
    if answer.status != _OK:
        raise PermanentError(f"the judge answered {answer.status}")
    try:
        completion = msgspec.json.decode(answer.body, type=_Completion)
    except (msgspec.MsgspecError, RecursionError):
        raise PermanentError("the judge's answer is no chat completion, or longer than 64 KiB") from None
    if not completion.choices:
        raise PermanentError("the judge's answer has no choice")
    usage = completion.usage or _Usage()
    return Reply(completion.choices[0].message.content or "", usage.prompt_tokens, usage.completion_tokens)


def _retry_after(answer: Answer) -> float | None:
    value = answer.headers.get("retry-after", "")
    return min(float(value), _LONGEST_RETRY_AFTER) if value.isascii() and value.isdigit() else None
