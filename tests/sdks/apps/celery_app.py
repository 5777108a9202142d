"""A Celery app whose task asks a model; its broker is a folder."""

from __future__ import annotations

import os

import openai
from celery import Celery

folder = os.environ["BROKER_FOLDER"]
app = Celery("celery_app", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": folder,
    "data_folder_out": folder,
    "control_folder": folder + "/control",
}


@app.task
def ask(text: str) -> str:
    with openai.OpenAI() as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": text}])
    return answer.choices[0].message.content or ""
