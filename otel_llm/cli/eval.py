"""Run a data set against a function and compare the results with a stored baseline, or make a data set from telemetry.

    otel-llm eval run cases.jsonl my_app:answer --baseline baseline.json --repetitions 3 --junit eval.xml
    otel-llm eval cases traces.jsonl > cases.jsonl

A data set is JSON lines: {"id": "capital", "input": "...", "expected": ..., "checks": {"contains": "Paris"}}. The
function gets `input` and returns the answer. Offline: nothing is sent anywhere but by your function. The exit code is 1
when results are worse than the baseline, when a case is broken and --strict is given, or, without a baseline, when a
case fails.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, cast

from otel_llm.errors import ConfigError, MalformedError
from otel_llm.quality.regression import (
    BaselineError,
    Case,
    CaseError,
    CaseResult,
    Verdict,
    compare,
    read_baseline,
    read_cases,
    run_cases,
    write_baseline,
)
from otel_llm.quality.regression.cases import CHECKS
from otel_llm.quality.regression.reports import junit, markdown, sentence
from otel_llm.quality.regression.run import Evaluator

_MOST_REPETITIONS: Final = 1000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    commands = parser.add_subparsers(dest="what", metavar="run|cases", required=True)
    run_parser = commands.add_parser("run", help="run a data set", allow_abbrev=False)
    run_parser.add_argument("dataset", metavar="DATASET", help=f"JSON lines; checks: {', '.join(CHECKS)}")
    run_parser.add_argument("function", metavar="MODULE:FUNCTION", help="what is under test")
    run_parser.add_argument("--evaluator", metavar="MODULE:FUNCTION", help="scores (case, answer) from 0 to 1")
    run_parser.add_argument("--repetitions", type=_count, default=1, metavar="N", help="runs of each case (default: 1)")
    run_parser.add_argument("--concurrency", type=_count, default=1, metavar="N", help="runs at a time (default: 1)")
    run_parser.add_argument("--baseline", metavar="FILE", help="what to compare with")
    run_parser.add_argument("--update-baseline", action="store_true", help="write the baseline anew")
    run_parser.add_argument(
        "--alpha",
        type=float,
        default=0.05,
        metavar="P",
        help="chance of calling unchanged results worse (default 0.05)",
    )
    run_parser.add_argument(
        "--strict", action="store_true", help="fail when a case that always succeeded never does now"
    )
    run_parser.add_argument("--junit", metavar="FILE", help="write JUnit XML")
    run_parser.add_argument("--markdown", metavar="FILE", help="write a report in Markdown")
    cases_parser = commands.add_parser("cases", help="make a data set from telemetry", allow_abbrev=False)
    cases_parser.add_argument("telemetry", metavar="FILE", help="OTLP JSON lines, as the file exporter writes them")
    cases_parser.add_argument("--flagged", action="store_true", help="only operations with a quality flag")


def run(options: argparse.Namespace) -> int:
    """Do it; the exit code.

    Raises:
        ConfigError: a file or a function cannot be used.
    """
    return _cases(options) if options.what == "cases" else _run(options)


def _run(options: argparse.Namespace) -> int:
    if options.update_baseline and options.baseline is None:
        raise ConfigError(["--update-baseline: needs --baseline FILE"])
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as python -m does, and pytest
    cases = _read_dataset(options.dataset)
    function = cast("Callable[[object], object]", _import(options.function))
    evaluator = None if options.evaluator is None else cast("Evaluator", _import(options.evaluator))
    baseline = {} if options.update_baseline or options.baseline is None else _read_baseline(options.baseline)
    results = run_cases(cases, function, time.monotonic, evaluator, options.repetitions, options.concurrency)
    verdict = compare(results, baseline, options.alpha)
    is_failed = _is_failed(options, results, verdict)
    name = Path(options.dataset).stem
    _write(options.junit, junit(name, results, verdict, is_failed=is_failed))
    _write(options.markdown, markdown(name, results, verdict))
    if options.update_baseline:
        _write(options.baseline, write_baseline(results))
    _print(results, verdict)
    return int(is_failed)


def _is_failed(options: argparse.Namespace, results: list[CaseResult], verdict: Verdict) -> bool:
    if options.update_baseline:
        return False
    if verdict.outcome == "no_baseline":
        return any(one.mean < 1.0 for one in results)
    return verdict.outcome == "worse" or (options.strict and bool(verdict.broken))


def _print(results: list[CaseResult], verdict: Verdict) -> None:
    for one in results:
        if one.mean < 1.0:
            problems = f" ({', '.join(sorted(set(one.problems)))})" if one.problems else ""
            print(f"{one.mean:5.2f}  {json.dumps(one.id, ensure_ascii=False)}{problems}")
    print(f"{sum(one.mean == 1.0 for one in results)} of {len(results)} cases always succeed")
    print(sentence(verdict))


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= _MOST_REPETITIONS:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to {_MOST_REPETITIONS}, got {text[:60]!r}")
    return int(text)


def _import(path: str) -> object:
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError([f"{path}: expected MODULE:FUNCTION that can be imported: {error}"]) from error
    if not callable(found):
        raise ConfigError([f"{path}: expected a function, got a {type(found).__name__}"])
    return cast("object", found)


def _read(path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read: {error}"]) from error


def _read_dataset(path: str) -> list[Case]:
    try:
        return read_cases(_read(path).splitlines())
    except CaseError as error:
        raise ConfigError([f"{path}, {problem}" for problem in error.problems]) from error


def _read_baseline(path: str) -> dict[str, CaseResult]:
    try:
        return dict(read_baseline(_read(path)))
    except BaselineError as error:
        raise ConfigError([f"{path}: {error}"]) from error


def _write(path: str | None, text: str) -> None:
    if path is None:
        return
    try:
        Path(path).expanduser().write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be written: {error}"]) from error


def _cases(options: argparse.Namespace) -> int:
    known: set[str] = set()
    for case in _cases_of(options.telemetry, flagged=options.flagged):
        id_ = str(case["id"])
        if id_ not in known:
            known.add(id_)
            print(json.dumps(case, ensure_ascii=False))
    sys.stderr.write(f"{len(known)} cases; say what is expected of each, in `expected` or `checks`\n")
    return 0


def _cases_of(path: str, *, flagged: bool) -> Iterator[dict[str, object]]:
    # Here, as this is the only use of the codecs: `eval run` needs no protobuf.
    from otel_llm.codecs.json import to_protobuf  # noqa: PLC0415
    from otel_llm.codecs.wire import decode_traces  # noqa: PLC0415

    for number, line in enumerate(_read(path).splitlines(), 1):
        if '"resourceSpans"' not in line:
            continue
        try:
            operations = decode_traces(to_protobuf("traces", line.encode())).operations
        except MalformedError as error:
            raise ConfigError([f"{path}, line {number}: {error}"]) from error
        for operation in operations:
            messages = operation.input_messages
            if messages and (not flagged or operation.get("otel_llm.quality.flags")):
                yield {"id": f"{operation.trace_id.hex()}:{operation.span_id.hex()}", "input": list(messages)}
