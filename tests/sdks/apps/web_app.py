"""A web app, by WSGI and by ASGI, that asks a model for each request, and once when it is imported if it is told to."""

from __future__ import annotations

import os

import openai


def ask(text: str) -> bytes:
    with openai.OpenAI() as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": text}])
    return (answer.choices[0].message.content or "").encode()


if "ASK_AT_IMPORT" in os.environ:
    ask("Who is there?")


def wsgi(environment, start_response):
    body = ask(environment["PATH_INFO"])
    start_response("200 OK", [("content-length", str(len(body)))])
    return [body]


async def asgi(scope, _, send):
    if scope["type"] == "http":
        body = ask(scope["path"])
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
