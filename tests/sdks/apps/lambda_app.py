"""A function for AWS Lambda that asks a model."""

from __future__ import annotations

import openai


def handler(event, _):
    if event.get("fail"):
        raise ValueError("of the app's own")
    with openai.OpenAI() as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}])
    return answer.choices[0].message.content
