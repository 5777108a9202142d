"""`otel-llm policy diff`: what changes from one version of policies to another, and for which recorded calls."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Final, TypeAlias

from otel_llm.cli.policy_options import load, recorded
from otel_llm.cli.policy_replay import decided
from otel_llm.operation import Operation
from otel_llm.policy.sets import Binding, Bundle, Exemption, PolicySet, Rule

Part: TypeAlias = Binding | Exemption | PolicySet | Rule

_EXAMPLES: Final = 3
_PARTS: Final = ("rules", "exemptions", "file")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("old", metavar="OLD", help="a file of policies, or a folder")
    parser.add_argument("new", metavar="NEW", help="the same, as it is to be")
    parser.add_argument(
        "--traces", metavar="FILE", action="append", default=[], help="a recording: which verdicts would change"
    )


def run(options: argparse.Namespace) -> int:
    """Print what differs.

    Raises:
        ConfigError: policies or recordings have problems.
    """
    old, new = load([options.old]), load([options.new])
    lines = list(differences(old, new))
    print(f"{old.id} -> {new.id}" if old.id != new.id else f"{old.id}: nothing differs")
    for line in lines:
        print(f"  {line}")
    if options.traces:
        _print_changed(changed_verdicts(old, new, recorded(options.traces)))
    return 0


def differences(old: Bundle, new: Bundle) -> Iterator[str]:
    """A line for each thing that was added, removed or changed."""
    before = {one.name: one for one in old.documents.sets}
    after = {one.name: one for one in new.documents.sets}
    yield from _sides("set", before, after)
    for name in sorted(before.keys() & after.keys()):
        yield from _of_sets(before[name], after[name])
    bound_before = {one.name: one for one in old.documents.bindings}
    bound_after = {one.name: one for one in new.documents.bindings}
    yield from _sides("binding", bound_before, bound_after)
    for name in sorted(bound_before.keys() & bound_after.keys()):
        yield from _fields(f"binding {name}", bound_before[name], bound_after[name])


def _of_sets(before: PolicySet, after: PolicySet) -> Iterator[str]:
    yield from _fields(f"set {before.name}", before, after)
    for kind in ("rules", "exemptions"):
        old = {one.id: one for one in getattr(before, kind)}
        new = {one.id: one for one in getattr(after, kind)}
        yield from _sides(f"{kind[:-1]} {before.name}/".rstrip(), old, new)
        for id_ in sorted(old.keys() & new.keys()):
            yield from _fields(f"{kind[:-1]} {before.name}/{id_}", old[id_], new[id_])


def _sides(what: str, before: Iterable[str], after: Iterable[str]) -> Iterator[str]:
    gap = "" if what.endswith("/") else " "
    for name in sorted(set(before) - set(after)):
        yield f"- {what}{gap}{name}"
    for name in sorted(set(after) - set(before)):
        yield f"+ {what}{gap}{name}"


def _fields(what: str, before: Part, after: Part) -> Iterator[str]:
    old, new = asdict(before), asdict(after)
    for key, value in old.items():
        if key not in _PARTS and value != new[key]:
            yield f"~ {what}: {key}: {_shown(value)} -> {_shown(new[key])}"


def _shown(value: object) -> str:
    return "nothing" if value is None else str(value)


def changed_verdicts(
    old: Bundle, new: Bundle, operations: Iterable[Operation]
) -> tuple[int, Counter[tuple[str, str]], dict[tuple[str, str], list[str]]]:
    """How many operations there were; of those whose verdict changes how many, by both, and traces of some."""
    number = 0
    changes: Counter[tuple[str, str]] = Counter()
    traces: dict[tuple[str, str], list[str]] = {}
    for operation in operations:
        number += 1
        pair = (decided(old, operation).verdict, decided(new, operation).verdict)
        if pair[0] != pair[1]:
            changes[pair] += 1
            examples = traces.setdefault(pair, [])
            if len(examples) < _EXAMPLES:
                examples.append(operation.trace_id.hex())
    return number, changes, traces


def _print_changed(found: tuple[int, Counter[tuple[str, str]], dict[tuple[str, str], list[str]]]) -> None:
    number, changes, traces = found
    print(f"of {number} recorded operations, {sum(changes.values())} have another verdict")
    for (before, after), count in changes.most_common():
        print(f"  {count} {before} -> {after}, e.g. {', '.join(traces[before, after])}")
