"""Results for machines (JUnit XML) and for people (Markdown)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import quoteattr

from otel_llm.quality.regression.run import CaseResult
from otel_llm.quality.regression.verdict import Verdict

# What XML 1.0 cannot hold.
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MOST_ROWS: Final = 50
_SENTENCES: Final = {
    "worse": "worse than the baseline",
    "better": "better than the baseline",
    "same": "not proven to differ from the baseline",
    "no_baseline": "no baseline to compare with",
}


def sentence(verdict: Verdict) -> str:
    """The verdict in one line."""
    text = f"{_SENTENCES[verdict.outcome]}"
    if verdict.before is not None and verdict.after is not None:
        probability = min(verdict.worse_probability, verdict.better_probability)
        text += f": mean score {verdict.before:.3f} -> {verdict.after:.3f} (p = {probability:.3g})"
    return text


def junit(name: str, results: Sequence[CaseResult], verdict: Verdict, *, is_failed: bool) -> str:
    """A JUnit test suite: each case, and the verdict as a case of its own.

    A case is a failure there only if it is broken, or without a baseline; others that fail are skipped, with a reason.
    """
    rows = [_junit_case(name, one, verdict) for one in results]
    failure = f"<failure message={_attribute(sentence(verdict))}/>" if is_failed else ""
    rows.append(f'  <testcase classname={_attribute(name)} name="verdict">{failure}</testcase>')
    failures = sum("<failure" in row for row in rows)
    skipped = sum("<skipped" in row for row in rows)
    counts = f'tests="{len(rows)}" failures="{failures}" errors="0" skipped="{skipped}"'
    body = "\n".join(rows)
    suite = f"<testsuite name={_attribute(name)} {counts}>\n{body}\n</testsuite>"
    return f'<?xml version="1.0" encoding="utf-8"?>\n<testsuites>\n{suite}\n</testsuites>\n'


def _junit_case(name: str, one: CaseResult, verdict: Verdict) -> str:
    inner = ""
    if one.mean < 1.0:
        said = f"mean score {one.mean:.3g} over {len(one.scores)} repetitions"
        if one.problems:
            said += f"; {', '.join(sorted(set(one.problems)))}"
        is_failure = verdict.outcome == "no_baseline" or one.id in verdict.broken
        kind, why = ("failure", said) if is_failure else ("skipped", f"{said}; the verdict counts it")
        inner = f"<{kind} message={_attribute(why)}/>"
    seconds = sum(one.seconds)
    return f'  <testcase classname={_attribute(name)} name={_attribute(one.id)} time="{seconds:.3f}">{inner}</testcase>'


def _attribute(text: str) -> str:
    return quoteattr(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text))


def markdown(name: str, results: Sequence[CaseResult], verdict: Verdict) -> str:
    """A report."""
    lines = [f"## {_cell(name)}", "", f"**{sentence(verdict)}**", ""]
    seconds = sum(sum(one.seconds) for one in results)
    passed = sum(one.mean == 1.0 for one in results)
    repetitions = sum(len(one.scores) for one in results)
    lines += [f"{passed} of {len(results)} cases always succeed; {repetitions} runs, {seconds:.1f} s", ""]
    for label, ids in (("broken", verdict.broken), ("new", verdict.added), ("missing", verdict.missing)):
        if ids:
            shown = ", ".join(f"`{_cell(id_)}`" for id_ in ids[:_MOST_ROWS])
            more = f" and {len(ids) - _MOST_ROWS} more" if len(ids) > _MOST_ROWS else ""
            lines += [f"{label}: {shown}{more}", ""]
    if verdict.differences:
        lines += ["| case | before | after |", "| --- | ---: | ---: |"]
        shown_rows = verdict.differences[:_MOST_ROWS]
        lines += [f"| {_cell(one.id)} | {one.before:.2f} | {one.after:.2f} |" for one in shown_rows]
        if len(verdict.differences) > _MOST_ROWS:
            lines.append(f"| {len(verdict.differences) - _MOST_ROWS} more | | |")
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    text = "".join(character if character.isprintable() else " " for character in text)
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("`", "'").replace("<", "&lt;")
