"""What the newest SDKs can call is traced or waived by name, with a reason: a new path or resource fails here.

Bedrock's operations and Hugging Face's tasks are looked at beside their other tests; Groq's and Together's go through
the same choke point as OpenAI's.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

MISSING = "is not installed; see tests/sdks/README.md"


def source_of(*modules: str) -> str:
    found = (importlib.import_module(name).__file__ for name in modules)
    return "\n".join(Path(path).read_text() for path in found if path)


GOOGLE = {
    "fetchPredictOperation": "asks for the state of a video",
    "computeTokens": "counts on Vertex AI, and is free",
    "importFile": "files",
    "uploadToFileSearchStore": "files",
    "register": "files",
    "cancel": "batches and tunings",
    "validateReinforcementTuningReward": "tuning",
}


def test_google_genai():
    pytest.importorskip("google.genai", reason=f"google-genai {MISSING}")
    from google import genai  # noqa: PLC0415

    from otel_llm.instrumentation.providers.google_genai import endpoint  # noqa: PLC0415

    source = "\n".join(path.read_text() for path in Path(genai.__file__).parent.glob("*.py"))
    actions = set(re.findall(r"""path = '[^'?]*:([a-zA-Z]+)""", source))
    traced = {action for action in actions if endpoint(f"models/m:{action}", {}) is not None}
    assert {"generateContent", "streamGenerateContent", "predict"} <= traced
    assert actions - traced - GOOGLE.keys() == set()


OLLAMA = {"copy", "create", "delete", "ps", "pull", "push", "show", "tags"}  # the models on the machine
OLLAMA_WEB = {"systemone", "web_search", "web_fetch"}  # ollama.com's services beside models


def test_ollama():
    pytest.importorskip("ollama", reason=f"ollama {MISSING}")
    from otel_llm.instrumentation.providers.ollama import PATHS  # noqa: PLC0415

    paths = set(re.findall(r"'(/(?:api|v1)/\w+)'", source_of("ollama._client")))
    assert PATHS.keys() <= paths
    assert {path.rpartition("/")[2] for path in paths - PATHS.keys()} <= OLLAMA | OLLAMA_WEB


COHERE = {
    "classify": "a classic task",
    "tokenize": "no model is called",
    "detokenize": "no model is called",
    "check-api-key": "no model is called",
    "parse": "documents, billed by pages",
}


def test_cohere():
    pytest.importorskip("cohere", reason=f"cohere {MISSING}")
    from otel_llm.instrumentation.providers.cohere import PATHS  # noqa: PLC0415

    modules = ("cohere.base_client", "cohere.raw_base_client", "cohere.v2.client", "cohere.v2.raw_client")
    found = [name for name in modules if importlib.util.find_spec(name) is not None]
    paths = set(re.findall(r'"v[12]/([a-z_/-]+)"', source_of(*found)))
    assert paths - PATHS.keys() - COHERE.keys() == set()


# Resources of Mistral that call models and have no row so far; all others keep files, jobs, users and records.
MISTRAL_WAIVED = {
    "audio_agents": "voice agents on the server",
    "audio": "has transcriptions, speech and voices below",
    "classifiers": "moderation and classification",
    "conversations": "agents on the server, which call models themselves",
    "ocr": "billed by pages",
    "realtime": "a socket",
    "responses": "a part of the beta",
    "speech": "billed by characters",
    "transcriptions": "billed by minutes",
}
MISTRAL_NO_MODEL = re.compile(
    r"access|batch|beta|connector|context|dataset|deployment|document|evaluation|event|execution|file|fine_tuning|"
    r"ingestion|job|judge|librar|log|metric|models_|observability|optimization|rag|schedule|sdk|service_account|skill|"
    r"session|span|trace|trigger|user|voice|webhook|workflow|campaign|chat_completion|field|record|base"
)


def test_mistral():
    try:
        importlib.import_module("mistralai.client.sdk")
        package = importlib.import_module("mistralai.client")
    except ImportError:
        pytest.skip(f"mistralai 2 {MISSING}")
    from otel_llm.instrumentation.providers.mistralai import RESOURCES  # noqa: PLC0415

    names = [module.name for module in pkgutil.iter_modules(package.__path__) if not module.ispkg]
    resources = {name for name in names if "(BaseSDK)" in source_of(f"mistralai.client.{name}")}
    traced = {module for module, *_ in RESOURCES}
    assert traced <= resources
    left = resources - traced - MISTRAL_WAIVED.keys()
    assert {name for name in left if not MISTRAL_NO_MODEL.search(name)} == set()


def test_litellm_functions_with_a_twin_are_traced_or_waived():
    pytest.importorskip("litellm", reason=f"litellm {MISSING}")
    import litellm  # noqa: PLC0415

    from otel_llm.instrumentation.providers.litellm import FUNCTIONS  # noqa: PLC0415

    assert all(callable(getattr(litellm, name)) for name in FUNCTIONS)
