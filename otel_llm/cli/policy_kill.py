"""`otel-llm policy kill`: stop calls of a model, a provider or a service at once, or switch a set of rules off.

The switches are policies in a file of their own, which this command writes whole: name it in `paths` beside the others,
and a switch is in force with the next look at the files. Whoever loads it records the switch in the audit log.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from otel_llm.errors import ConfigError
from otel_llm.policy.sets import PolicyError, read_documents
from otel_llm.policy.sets.files import load_documents
from otel_llm.policy.sets.switches import SWITCHES

_VERSION: Final = "otel-llm/v1"
# What a switch stops, and how a call is told that it is about.
_CALLS: Final[Mapping[str, str]] = {
    "model": "has(gen_ai.request.model) && gen_ai.request.model == {}",
    "provider": "has(gen_ai.provider.name) && gen_ai.provider.name == {}",
    "service": 'has(resource["service.name"]) && resource["service.name"] == {}',
}
_NOT_IN_IDS: Final = re.compile(r"[^A-Za-z0-9.\-]+")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", type=Path, help="the file of switches, kill-switches.yaml; made when it is not there")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", help="stop calls of this model")
    what.add_argument("--provider", help="stop calls of this provider, as in gen_ai.provider.name")
    what.add_argument("--service", help="stop calls of this service, as in service.name")
    what.add_argument("--set", help="switch this policy set off, everywhere")
    parser.add_argument("--owner", help="who turns it; needed to stop something")
    parser.add_argument("--reason", help="why, in a word or two; never content")
    parser.add_argument("--revive", action="store_true", help="take the switch back")


def run(options: argparse.Namespace) -> int:
    """Turn a switch, or list those that are turned.

    Raises:
        ConfigError: the file is not one of switches, or something that is needed was not given.
    """
    switches = _read(options.file)
    kind = next((one for one in (*_CALLS, "set") if getattr(options, one)), None)
    if kind is not None:
        name = str(getattr(options, kind))
        if options.revive:
            if switches.pop((kind, name), None) is None:
                raise ConfigError([f"{options.file}: there is no switch for {kind} {name}"])
        elif not options.owner:
            raise ConfigError(["--owner: expected who turns the switch"])
        else:
            switches[kind, name] = {"owner": options.owner, "reason": options.reason or "kill_switch"}
        _write(options.file, switches)
    for (stopped, name), why in sorted(switches.items()):
        print(f"{stopped} {name}: stopped by {why['owner']}: {why['reason']}")
    if not switches:
        print("nothing is stopped")
    return 0


_Switches = dict[tuple[str, str], dict[str, str]]


def _read(file: Path) -> _Switches:
    if not file.exists():
        return {}
    try:
        # Not the bindings: the sets that they switch off are in other files.
        read = load_documents([file])
        documents = read_documents(one for one in read if not _is_binding(one[1]))
    except PolicyError as error:
        raise ConfigError(list(error.problems)) from None
    found = [one.parameters.get("switches") for one in documents.sets if one.name == SWITCHES]
    if len(found) != 1 or len(documents.sets) != 1:
        raise ConfigError([f"{file}: expected a file that this command wrote, with the set {SWITCHES} and no other"])
    rows: Any = found[0] or []
    return {(kind, name): {"owner": owner, "reason": reason} for kind, name, owner, reason in rows}


def _is_binding(document: object) -> bool:
    return isinstance(document, Mapping) and document.get("kind") == "PolicyBinding"


def _write(file: Path, switches: _Switches) -> None:
    """Write the file in one step: nobody loads half of it. JSON is YAML."""
    text = "---\n".join(f"{json.dumps(one, indent=1)}\n" for one in _documents(switches))
    with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=".switches-", delete=False, encoding="utf-8") as to:
        to.write(f"# Written by `otel-llm policy kill`; turn the switches with it.\n{text}")
        to.flush()
        os.fsync(to.fileno())
    Path(to.name).chmod(0o644)
    Path(to.name).replace(file)


def _documents(switches: _Switches) -> Iterator[Mapping[str, object]]:
    ordered = sorted(switches.items())
    rows = [[kind, name, why["owner"], why["reason"]] for (kind, name), why in ordered]
    rules = [_rule(kind, name, why) for (kind, name), why in ordered if kind != "set"]
    yield {
        "apiVersion": _VERSION,
        "kind": "PolicySet",
        "metadata": {"name": SWITCHES, "version": len(rows), "owner": "kill-switches"},
        "spec": {
            "mode": "enforce",
            "failurePolicy": {"request": "fail"},
            "parameters": {"switches": rows},
            "rules": [*rules, _NOTHING],
        },
    }
    for (kind, name), _ in ordered:
        if kind == "set":
            yield {
                "apiVersion": _VERSION,
                "kind": "PolicyBinding",
                "metadata": {"name": f"{SWITCHES}-{_id(name)}"},
                "spec": {"policy": name, "mode": "off"},
            }


# A set has a rule at least, and one without a switch stops nothing.
_NOTHING: Final = {"id": "kill-nothing", "stage": "request", "when": "false", "verdict": "allow", "mode": "off"}


def _rule(kind: str, name: str, why: Mapping[str, str]) -> Mapping[str, object]:
    return {
        "id": f"kill-{kind}-{_id(name)}",
        "stage": "request",
        "when": _CALLS[kind].format(json.dumps(name)),
        "verdict": "deny",
        "severity": "critical",
        "reason": json.dumps("kill_switch"),
        "action": {"type": "block", "message": f"{kind} {name} is switched off by {why['owner']}: {why['reason']}"},
    }


def _id(name: str) -> str:
    return _NOT_IN_IDS.sub("-", name)
