"""Which spans are GenAI operations: by instrumentation scope, or by the keys of their attributes.

The wire codec must decide this for every span that passes, most of which are not, so the test has three steps of
rising cost: is the scope one of a GenAI library, does one of few marker strings occur in the bytes, and only then, has
the span an attribute of a GenAI convention. Markers are long on purpose: searching for a longer string is faster.
Source: facts of each library's scope and keys in semconv/dialects/.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# A span outside of the scopes below is one of a GenAI convention when it has a key that begins like this. OpenInference
# and OpenLLMetry are also written by hand, under scopes of the app's own; they require these keys.
_KEY_PREFIXES: Final = ("gen_ai.", "openinference.span.kind", "traceloop.span.kind")

# OpenTelemetry's own instrumentations of servers, clients and databases, without "opentelemetry.instrumentation.". They
# are most of the spans that pass, and write no other convention; only the first prefix is looked for in theirs.
_PLAIN_SCOPE: Final = "opentelemetry.instrumentation."
_PLAIN: Final = frozenset(
    {
        "aio_pika",
        "aiohttp_client",
        "aiohttp_server",
        "aiokafka",
        "aiopg",
        "asgi",
        "asyncpg",
        "boto",
        "boto3sqs",
        "botocore",
        "cassandra",
        "celery",
        "confluent_kafka",
        "dbapi",
        "django",
        "elasticsearch",
        "falcon",
        "fastapi",
        "flask",
        "grpc",
        "httpx",
        "jinja2",
        "kafka",
        "mysql",
        "mysqlclient",
        "pika",
        "psycopg",
        "psycopg2",
        "pymemcache",
        "pymongo",
        "pymysql",
        "pymssql",
        "pyramid",
        "redis",
        "remoulade",
        "requests",
        "sqlalchemy",
        "sqlite3",
        "starlette",
        "tornado",
        "tortoiseorm",
        "urllib",
        "urllib3",
        "wsgi",
    }
)

# Every span of these scopes is one of a GenAI library.
_SCOPES: Final = frozenset(
    {
        "ai",
        "agent_framework",
        "autogen-core",
        "gcp.vertex.agent",
        "gen_ai",
        "langfuse-sdk",
        "langsmith",
        "litellm",
        # OpenLLMetry's instrumentations of vector databases, whose spans have no key of a GenAI convention. The
        # packages of these names are its own; OpenTelemetry has none for these databases under this prefix.
        "opentelemetry.instrumentation.chromadb",
        "opentelemetry.instrumentation.lancedb",
        "opentelemetry.instrumentation.marqo",
        "opentelemetry.instrumentation.milvus",
        "opentelemetry.instrumentation.pinecone",
        "opentelemetry.instrumentation.qdrant",
        "opentelemetry.instrumentation.weaviate",
        "pydantic-ai",
        "traceloop.tracer",
        "Experimental.Microsoft.Extensions.AI",
    }
)
_SCOPE_PREFIXES: Final = (
    "autogen ",
    "com.anthropic.claude_code",
    "com.anthropic.sdk.python",
    "logfire.openai",
    "logfire.anthropic",
    "mlflow",
    "openinference.instrumentation.",
    "openlit.",
    "opentelemetry.instrumentation.genai.",
    "opentelemetry.instrumentation.google_genai",
    "opentelemetry.instrumentation.openai_v2",
    "semantic_kernel.",
    "strands.",
)


def is_genai_scope(name: str) -> bool:
    """Whether every span of an instrumentation scope is one of a GenAI library."""
    return name in _SCOPES or name.startswith(_SCOPE_PREFIXES)


def key_prefixes(scope: str) -> tuple[str, ...]:
    """How the keys begin that make a span of an instrumentation scope a GenAI one.

    As bytes they are what to search for: where none of them occurs in a span, there is no such key (protobuf does not
    escape); where one occurs, it may also be in a value.
    """
    if scope.startswith(_PLAIN_SCOPE) and scope.removeprefix(_PLAIN_SCOPE) in _PLAIN:
        return _KEY_PREFIXES[:1]
    return _KEY_PREFIXES


def has_genai_key(scope: str, keys: Iterable[str]) -> bool:
    """Whether one of the attribute keys makes a span of an instrumentation scope a GenAI one."""
    prefixes = key_prefixes(scope)
    return any(key.startswith(prefixes) for key in keys)
