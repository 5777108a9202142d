"""The error body shared by OpenAI's APIs."""

from __future__ import annotations

from http import HTTPStatus

from otel_llm.loopback.json_types import JsonObject

_KINDS = {
    400: ("invalid_request_error", None, "The request is not valid."),
    401: ("invalid_request_error", "invalid_api_key", "The API key is not valid."),
    404: ("invalid_request_error", "model_not_found", "The model `{model}` does not exist."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for {model}."),
    503: ("server_error", "overloaded", "The server is overloaded."),
}


def openai_error(status: int, model: str, message: str | None) -> JsonObject:
    """The body OpenAI sends with an HTTP status of 400 or more."""
    unknown = (
        "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error",
        None,
        "It failed.",
    )
    kind, code, usual = _KINDS.get(status, unknown)
    return {"error": {"message": message or usual.format(model=model), "type": kind, "param": None, "code": code}}
