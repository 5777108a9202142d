"""One piece of feedback as it is posted: checked field by field, or a sentence that says what was expected."""

from __future__ import annotations

from typing import Final, get_args

from otel_llm.quality.results import USER_FEEDBACK, Evaluation, Source, Target

_TRACE_DIGITS: Final = 32
_SPAN_DIGITS: Final = 16
_NAME_CHARACTERS: Final = 256
_COMMENT_CHARACTERS: Final = 8192
_LARGEST_SCORE: Final = 1e12
_FIELDS: Final = frozenset(
    {
        "trace_id", "span_id", "response_id", "name", "score", "label", "comment", "evaluator_id", "evaluator_version",
        "source",
    }
)  # fmt: skip


def read_piece(item: object, path: str) -> Evaluation | str:
    """The evaluation that a piece of feedback is, or what is wrong with it. Never quotes a value that it was given.

    Args:
        item: as a JSON decoder gives it.
        path: where it stands in the request, for the message.
    """
    if not isinstance(item, dict):
        return f"{path.rstrip('.') or 'feedback'}: expected an object"
    unknown = sorted(item.keys() - _FIELDS)
    if unknown:
        return f"{path}{unknown[0][:40]}: unknown field; expected some of {', '.join(sorted(_FIELDS))}"
    for key, value in item.items():
        limit = _COMMENT_CHARACTERS if key == "comment" else _NAME_CHARACTERS
        if key != "score" and not (isinstance(value, str) and 0 < len(value) <= limit):
            return f"{path}{key}: expected text of 1 to {limit} characters"
    score = item.get("score")
    if score is not None and (
        isinstance(score, bool) or not isinstance(score, int | float) or abs(score) > _LARGEST_SCORE
    ):
        return f"{path}score: expected a number"
    if score is None and "label" not in item:
        return f"{path}score: expected a score, a label, or both"
    target = _target(item)
    if isinstance(target, str):
        return path + target
    source = item.get("source", "human")
    if source not in get_args(Source):
        return f"{path}source: expected one of {', '.join(get_args(Source))}"
    return Evaluation(
        target,
        item.get("name", USER_FEEDBACK),
        None if score is None else float(score),
        item.get("label", ""),
        item.get("comment", ""),
        item.get("evaluator_id", "user"),
        item.get("evaluator_version", ""),
        source,
    )


def _target(item: dict[str, str]) -> Target | str:
    trace_id = _hex(item.get("trace_id", ""), _TRACE_DIGITS)
    span_id = _hex(item.get("span_id", ""), _SPAN_DIGITS)
    if trace_id is None or ("trace_id" in item and not any(trace_id)):
        return f"trace_id: expected {_TRACE_DIGITS} hex digits, not all of them 0"
    if span_id is None or ("span_id" in item and not (any(span_id) and trace_id)):
        return f"span_id: expected {_SPAN_DIGITS} hex digits, not all of them 0, and trace_id beside it"
    if not trace_id and "response_id" not in item:
        return "response_id: expected trace_id, trace_id and span_id, or response_id"
    return Target(trace_id, span_id, item.get("response_id", ""))


def _hex(text: str, digits: int) -> bytes | None:
    """The bytes of hex digits, empty for none; None when it is something else."""
    if not text:
        return b""
    if len(text) != digits or not text.isascii() or not text.isalnum():
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None
