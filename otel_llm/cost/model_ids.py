"""What a model id in traffic may mean in a price list. Every reading has a name, which ends up in `Quote.rule`.

Nothing here guesses: a reading either unwraps a notation (an ARN, a resource path, a fine-tune's suffix) or drops a
part that by its form can only be a version or a date. Whether a list has the result is for it to say. In particular
"starts with the name of a known model" is not enough: the rest must be a version too.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

#: Longer ids are nobody's model; they are not looked up and not remembered.
MAXIMUM_LENGTH = 256

ClauseKind = Literal["starts_with", "ends_with", "contains", "regex"]


class Reading(NamedTuple):
    """One reading of an id: the text to look up and how it came about ("" when it is the id itself)."""

    text: str
    rule: str


_DATE = r"(?:20\d{2}-[01]\d-[0-3]\d|20\d{2}[01]\d[0-3]\d|[01]\d-[0-3]\d|[01]\d-20\d{2}|[01]\d[0-3]\d|2\d[01]\d|0\d\d)"
#: What may follow a model's name: dates, revisions, release stages, Bedrock's version and context size.
_VERSION = re.compile(
    rf"(?:[-@](?:{_DATE}|v\d+(?:\.\d+)?|preview|latest|exp|experimental|beta|thinking|instruct|default)"
    r"|:\d+(?:k|:\d+k)?)*"
)
_SNAPSHOT = re.compile(rf"(?:[-@]{_DATE}|@[a-z0-9.]+|-v1(?::\d+)?(?::\d+k)?|-latest)$")
_HIGHER_REVISION = re.compile(r"[-@]v(?!1\b)\d")
_SOME_DATE = re.compile(r"20\d{2}-?[01]\d-?[0-3]\d")
_COMPACT_DATE = re.compile(r"(?<=-)(20\d{2})([01]\d)([0-3]\d)(?=$|[-:@])")
_ARN = re.compile(r"arn:aws[a-z-]*:bedrock:[^:]*:[^:]*:([a-z-]+)/(.+)")
_RESOURCE_PATH = re.compile(r"(?:.*/)?publishers/[^/]+/models/([^/]+)")
_ROUTE = re.compile(r"[a-z0-9_.@~:/-]*[./:@~]")

#: ARN resources whose name is the model; the others are opaque to everyone but their owner.
_NAMED_RESOURCES = frozenset({"foundation-model", "inference-profile"})


def is_opaque(model: str) -> bool:
    """Whether the id names somebody's own resource, which only a user's alias can resolve."""
    arn = _ARN.fullmatch(model)
    return bool(arn and arn[1] not in _NAMED_RESOURCES) or "/endpoints/" in model or model.startswith("tunedmodels/")


def unwrapped(model: str) -> Reading:
    """The id without its notation: lower case, ARN and resource path removed."""
    text = model.strip().lower()
    if arn := _ARN.fullmatch(text):
        return Reading(arn[2], "bedrock_arn")
    if path := _RESOURCE_PATH.fullmatch(text):
        return Reading(path[1], "vertex_path")
    if text.startswith("models/"):
        return Reading(text[len("models/") :], "models_prefix")
    return Reading(text, "")


def readings(text: str) -> Iterator[Reading]:
    """An unwrapped id and what else it may be listed as, closest first."""
    yield Reading(text, "")
    dashed = _COMPACT_DATE.sub(_dashed, text)
    if dashed != text:
        yield Reading(dashed, "compact_date")
    if text.startswith("ft:"):
        # ft:<base>:<organisation>:<name>:<id>; lists have "ft:<base>" and sometimes without the base's date.
        base = ":".join(text.split(":")[:2])
        yield from (Reading(item.text, "fine_tune") for item in (Reading(base, ""), *snapshots(base)))
        return
    yield from snapshots(text)


def snapshots(text: str) -> Iterator[Reading]:
    """The id without its date, revision or "-latest", one after the other: a snapshot costs what its model costs."""
    for _ in range(2):
        shorter = _SNAPSHOT.sub("", text)
        if shorter == text or not shorter:
            return
        text = shorter
        yield Reading(text, "snapshot")


def _dashed(match: re.Match[str]) -> str:
    year, month, day = (int(part) for part in match.groups())
    try:
        return dt.date(year, month, day).isoformat()
    except ValueError:
        return match[0]


def follows_clause(text: str, kind: ClauseKind, clause: str) -> bool:
    """Whether the id is what a list's looser rule means: the rule's text, a route before it, a version after it."""
    if kind == "regex":
        return re.search(clause, text) is not None
    start = text.find(clause)
    if start < 0 or (kind == "starts_with" and start) or (start and not _ROUTE.fullmatch(text[:start])):
        return False
    end = start + len(clause)
    return end == len(text) if kind == "ends_with" else _is_version(text, end, clause)


def _is_version(text: str, end: int, clause: str) -> bool:
    """Whether everything after the clause is versions; a clause may end in the middle of one ("claude-opus-4-2025")."""
    if clause[-1] in "-@:":
        return _names_version(text, end - 1)
    if _names_version(text, end):
        return True
    split = max(text.rfind("-", 0, end), text.rfind("@", 0, end))
    return text[end - 1].isdigit() and text[end : end + 1].isdigit() and _names_version(text, split)


def _names_version(text: str, start: int) -> bool:
    """Whether the rest of the text is versions. A second revision without a date may be another model: that is not."""
    if not _VERSION.fullmatch(text, start):
        return False
    return not _HIGHER_REVISION.search(text, start) or _SOME_DATE.search(text) is not None


def routed(text: str) -> Iterator[tuple[str, str]]:
    """(prefix, rest) where the id may name its provider first: "provider/model" and "provider:model"."""
    for separator in "/:":
        prefix, found, rest = text.partition(separator)
        if found and prefix and rest:
            yield prefix, rest
