"""What the SDKs can do that costs money: found in their sources, and either traced or waived by name with a reason."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

_CALL = re.compile(r"self\._(post|put|patch)\(\s*(?:f|path_template\()?[\"']([^\"']+)[\"']")
_SOCKET = re.compile(r"^    (?:async )?def (connect)\(", re.MULTILINE)

_SETTINGS = "administration: nothing is generated"
_STORED = "stores or manages data: billed by size or not at all, never by a model call"
_LATER = "starts work on the provider's side that reports its usage elsewhere, not in this answer"
_SOCKETS = "a session over a socket: no request and no answer; its usage comes in events"

WAIVED: Mapping[str, Mapping[str, str]] = {
    "openai": {
        "/organization": _SETTINGS,
        "/projects": _SETTINGS,
        "/webhook_endpoints": _SETTINGS,
        "/chat/completions/{": "changes metadata of a stored completion",
        "/audio/voice": _STORED,
        "/batches/{": "cancels",
        "/containers": _STORED,
        "/content_provenance_checks": "checks a file; no model, no usage",
        "/conversations": _STORED,
        "/files": _STORED,
        "/uploads": _STORED,
        "/vector_stores": _STORED,
        "/skills": _STORED,
        "/vaults": _STORED,
        "/videos/characters": _STORED,
        "/assistants": _STORED,
        "/threads/{thread_id}/messages": _STORED,
        "/threads/{thread_id}/runs": _LATER,
        "/threads/{thread_id}": _STORED,
        "/threads/runs": _LATER,
        "/threads": _STORED,
        "/agents": _LATER,
        "/evals": _LATER,
        "/fine_tuning": _LATER,
        "/chatkit": _SOCKETS,
        "/live": _SOCKETS,
        "/realtime": _SOCKETS,
        "connect": _SOCKETS,
    },
    "anthropic": {
        "/v1/organizations": _SETTINGS,
        "/v1/compliance": _SETTINGS,
        "/v1/user_profiles": _SETTINGS,
        "/v1/tunnels": _SETTINGS,
        "/v1/agents": _STORED,
        "/v1/environments": _STORED,
        "/v1/files": _STORED,
        "/v1/memory_stores": _STORED,
        "/v1/skills": _STORED,
        "/v1/vaults": _STORED,
        "/v1/messages/batches/{": "cancels",
        "/v1/deployments": _LATER,
        "/v1/dreams": _LATER,
        "/v1/sessions": _LATER,
    },
}


def billable(sdk: str) -> Iterator[str]:
    """Every path that the SDK's methods send something to, and every method that opens a socket."""
    root = Path(str(import_module(sdk).__file__)).parent / "resources"
    found: set[str] = set()
    for path in root.rglob("*.py"):
        source = path.read_text()
        found.update(match[2] for match in _CALL.finditer(source))
        found.update(match[1] for match in _SOCKET.finditer(source))
    return iter(sorted(found))


def waiver(sdk: str, path: str) -> str | None:
    """The waiver that covers a path: the longest beginning; None when there is none."""
    fitting = [start for start in WAIVED[sdk] if path.startswith(start)]
    return max(fitting, key=len) if fitting else None
