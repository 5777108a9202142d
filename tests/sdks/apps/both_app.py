"""An app that asks through both SDKs in every way there is, unaware of telemetry."""

from __future__ import annotations

import asyncio
import os
import sys

import anthropic
import openai

URL = os.environ["OPENAI_BASE_URL"]
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
CHAT = {"model": "gpt-4o", "messages": QUESTION}
MESSAGE = {"model": "claude-3-5-sonnet-20240620", "max_tokens": 100, "messages": QUESTION}
HERE = {"base_url": URL.removesuffix("/v1"), "api_key": "any"}


def openai_text(chunks) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def sync() -> list[str]:
    gpt, claude = openai.OpenAI(max_retries=0), anthropic.Anthropic(**HERE, max_retries=0)
    said = [gpt.chat.completions.create(**CHAT).choices[0].message.content]
    said.append(openai_text(gpt.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})))
    said.append(gpt.chat.completions.with_raw_response.create(**CHAT).parse().choices[0].message.content)
    said.append(str(len(gpt.embeddings.create(model="text-embedding-3-small", input="Paris").data)))
    said.append(claude.messages.create(**MESSAGE).content[0].text)
    with claude.messages.stream(**MESSAGE) as stream:
        said.append(stream.get_final_text())
    for fails in (
        lambda: gpt.chat.completions.create(**{**CHAT, "model": "err400"}),
        lambda: claude.messages.create(**{**MESSAGE, "model": "err400"}),
    ):
        try:
            fails()
        except (openai.BadRequestError, anthropic.BadRequestError) as error:
            said.append(type(error).__name__)
    return said


async def asynchronous() -> list[str]:
    gpt, claude = openai.AsyncOpenAI(max_retries=0), anthropic.AsyncAnthropic(**HERE, max_retries=0)
    whole = await gpt.chat.completions.create(**CHAT)
    message = await claude.messages.create(**MESSAGE)
    async with claude.messages.stream(**MESSAGE) as stream:
        text = await stream.get_final_text()
    return [whole.choices[0].message.content, message.content[0].text, text]


sys.stdout.write("\n".join([*sync(), *asyncio.run(asynchronous())]))
