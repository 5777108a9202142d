"""What the newest SDKs can call is traced or waived by name, with a reason: a new path or resource fails here.

A waiver is a full name, or, for paths, where they begin; what it was for must still be there in the newest SDK.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.instrumentation.coverage import billable

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


# Resources of Mistral that have no row.
_RECORDS = "keeps records: nothing is generated"
_JOBS = "starts or lists jobs, which report their usage elsewhere"
_WATCHES = "looks at what was recorded before"
MISTRAL = {
    "audio": "has transcriptions, speech and voices below",
    "audio_agents": "voice agents on the server",
    "audio_sessions": "sessions over a socket",
    "beta": "has others below",
    "beta_agents": _RECORDS,
    "beta_context": "context for agents on the server",
    "beta_prompts": _RECORDS,
    "chat_completion_events": _WATCHES,
    "classifiers": "moderation and classification",
    "conversations": "agents on the server, which call models themselves",
    "ocr": "billed by pages",
    "realtime": "a socket",
    "realtime_sessions": "a socket",
    "responses": "a part of the beta",
    "speech": "billed by characters",
    "transcriptions": "billed by minutes",
    "accesses": _RECORDS,
    "batch": "has jobs below",
    "connectors": _RECORDS,
    "context_search_indexes": _RECORDS,
    "datasets": _RECORDS,
    "datasets_records": _RECORDS,
    "deployments": _RECORDS,
    "documents": _RECORDS,
    "evaluations": _JOBS,
    "evaluations_projects": _RECORDS,
    "evaluations_records": _RECORDS,
    "evaluations_runs": _JOBS,
    "events": _WATCHES,
    "executions": _JOBS,
    "files": _RECORDS,
    "ingestion_pipeline_configurations": _RECORDS,
    "jobs": _JOBS,
    "judges": _RECORDS,
    "libraries": _RECORDS,
    "logs": _WATCHES,
    "metrics": _WATCHES,
    "models_": _RECORDS,
    "observability": "has others below",
    "optimizations": _JOBS,
    "rag": "has indexes below",
    "rag_search_indexes": _RECORDS,
    "schedules": _RECORDS,
    "sdk": "has all others below",
    "service_accounts": _RECORDS,
    "skills": _RECORDS,
    "spans": _WATCHES,
    "traces": _WATCHES,
    "triggers": _RECORDS,
    "users": _RECORDS,
    "voices": _RECORDS,
    "webhooks": _RECORDS,
    "workflows": _JOBS,
    "workflows_events": _WATCHES,
    "workflows_runs": _JOBS,
}


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
    assert resources - traced - MISTRAL.keys() == set()
    assert MISTRAL.keys() & traced == set()


_FREE = "administration: nothing is generated"
_LATER = "starts work on the provider's side that reports its usage elsewhere, not in this answer"
PATHS: Mapping[str, Mapping[str, str]] = {
    "groq": {"/batches/{": "cancels", "/files": "stores files"},
    "together": {
        "/batches/{": "cancels",
        "/compute/": "machines, billed by the hour",
        "/deployments": "machines, billed by the hour",
        "/endpoints": "machines, billed by the hour",
        "/evaluation": _LATER,
        "/fine-tunes/": _LATER,
        "/models": _FREE,
        "/projects/": _FREE,
        "/queue/": _LATER,
        "/rl/": "training, billed by the session",
        "/shaping/": "training",
        "/tci/": "runs code; no model is called",
        "connect": "a session over a socket",
    },
}


@pytest.mark.parametrize("sdk", PATHS)
def test_sdks_with_openais_choke_point(sdk):
    pytest.importorskip(sdk, reason=f"{sdk} {MISSING}")
    table = importlib.import_module(f"otel_llm.instrumentation.providers.{sdk}")
    paths = list(billable(sdk))
    traced = {path for path in paths if table.endpoint("post", path) is not None}
    assert any(path.endswith("/chat/completions") for path in traced)
    waived = {path for path in paths if re.sub(r"^(/openai)?/v\d", "", path).startswith(tuple(PATHS[sdk]))}
    assert traced & waived == set()
    assert set(paths) - traced - waived == set()


_SERVER = "works on the provider's or the proxy's side: nothing is generated by the call"
_OTHER_API = "an API that LiteLLM offers in another vendor's words; its spans come from that vendor's own SDK only"
_BELOW = "calls a function that is traced"
# Functions of LiteLLM by their asynchronous names, each of which has a synchronous twin or is alone.
LITELLM = {
    **dict.fromkeys(("acompletion_with_retries", "aresponses_with_retries"), _BELOW),
    **dict.fromkeys(("aadapter_completion", "async_completion_with_fallbacks", "arun_tool_loop"), _BELOW),
    **dict.fromkeys(("aresponses_api_with_mcp", "maybe_run_chat_completion_agentic_loop"), _BELOW),
    "ahealth_check": "a check of the set-up; the calls that it makes are traced",
    **dict.fromkeys(("anthropic_messages", "agenerate_content", "aadapter_generate_content"), _OTHER_API),
    "allm_passthrough_route": "a request that nobody reads: what it asks for is not known",
    **dict.fromkeys(("aimage_variation", "avideo_generation", "avideo_remix"), "billed by pieces, not traced"),
    **dict.fromkeys(("avideo_edit", "avideo_extension"), "billed by pieces, not traced"),
    "aocr": "billed by pages",
    "asearch": "web search, billed by searches",
    **dict.fromkeys(("adecisions", "aextraction", "asystemone"), "of one vendor's models, which have no conventions"),
    "acompact_responses": "shortens a conversation; no conventions",
    **dict.fromkeys(("aingest", "aquery"), "retrieval: a span by hand says more"),
    **dict.fromkeys(("acreate_batch", "acreate_fine_tuning_job", "acreate_eval", "acreate_run"), _LATER),
    **dict.fromkeys(("arun_thread", "arun_code", "acode_interpreter_tool"), _LATER),
    **dict.fromkeys(("acreate_realtime_client_secret", "acreate_realtime_transcription_session"), "keys for a socket"),
    "acreate_realtime_translation_client_secret": "keys for a socket",
    **dict.fromkeys(("arealtime_calls", "arealtime_translation_calls", "realtime_health_check"), "a socket"),
    "acount_tokens": "counts, and is free",
    **dict.fromkeys(("bill_first_round_on_failure", "close_litellm_async_clients"), "of LiteLLM's own insides"),
    "a_add_message": _SERVER,
    "aupload_container_file": _SERVER,
    "avideo_create_character": _SERVER,
    "acreate_agent": _SERVER,
    "acreate_assistants": _SERVER,
    "acreate_container": _SERVER,
    "acreate_file": _SERVER,
    "acreate_sandbox": _SERVER,
    "acreate_skill": _SERVER,
    "acreate_thread": _SERVER,
    "avector_store_file_create": _SERVER,
    "avector_store_file_update": _SERVER,
    "avector_store_file_content": _SERVER,
    "afile_content": _SERVER,
    "avideo_content": _SERVER,
    "avideo_status": _SERVER,
}
# What is left reads, lists, cancels or deletes one of these.
_READS = re.compile(
    r"a(cancel|delete|get|list|retrieve)_(batch(es)?|evals?|fine_tuning_jobs?|responses|runs?|agents?|agent_versions|"
    r"assistants?|containers?|sandbox|skills?|container_files|input_items|messages|thread)"
    r"|a(file|video|vector_store_file)_(list|retrieve|delete|get_character)"
)


def test_litellm():
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # importing it fetches prices otherwise
    pytest.importorskip("litellm", reason=f"litellm {MISSING}")
    import litellm  # noqa: PLC0415

    from otel_llm.instrumentation.providers.litellm import FUNCTIONS  # noqa: PLC0415

    public = {name: inspect.unwrap(value) for name, value in vars(litellm).items() if not name.startswith("_")}
    functions = {name for name, value in public.items() if inspect.iscoroutinefunction(value)}
    functions |= {name for name in dir(litellm) if inspect.iscoroutinefunction(getattr(litellm, name))}
    traced = {f"a{name}" for name in FUNCTIONS}
    assert traced <= functions
    assert all(callable(getattr(litellm, name)) for name in FUNCTIONS)
    left = functions - traced - LITELLM.keys()
    assert {name for name in left if not _READS.fullmatch(name) and not name.startswith("_")} == set()
    assert traced & LITELLM.keys() == set()
