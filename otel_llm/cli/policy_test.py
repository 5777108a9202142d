"""`otel-llm policy test`: run suites of spans and expected verdicts, with coverage."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from otel_llm.cli.policy_options import case_operation, load, problems_as_config_error
from otel_llm.cli.price import moment, unix_nano
from otel_llm.clock import SystemClock
from otel_llm.policy.sets import PolicyError
from otel_llm.policy.sets.files import load_texts
from otel_llm.policy.sets.suite import Suite, read_suite, run_suite


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("suites", metavar="SUITE", nargs="+", help="a suite (YAML), or a folder of *.test.yaml")
    parser.add_argument("--no-coverage", action="store_true", help="rules without a test that hits and misses are fine")
    parser.add_argument("--at", type=moment, metavar="DATE", help="the day for exemptions (default: today)")


def run(options: argparse.Namespace) -> int:
    """Print a line for each test; 1 when one fails, or a rule lacks tests.

    Raises:
        ConfigError: a suite or its policies have problems.
    """
    now = SystemClock().unix_nano() if options.at is None else unix_nano(options.at)
    with problems_as_config_error():
        suites = _suites(Path(one) for one in options.suites)
    results = [_run(suite, now, wants_coverage=not options.no_coverage) for suite in suites]
    failed, passed, lacking = (sum(one) for one in zip(*results, strict=True))
    print(
        f"{passed} passed, {failed} failed, {lacking} rules lack a test"
        if lacking
        else f"{passed} passed, {failed} failed"
    )
    return 1 if failed or lacking else 0


def _suites(paths: Iterable[Path]) -> list[Suite]:
    files = [one for path in paths for one in (sorted(path.rglob("*.test.yaml")) if path.is_dir() else [path])]
    if not files:
        raise PolicyError(["no suites; expected a file, or a folder that holds *.test.yaml"])
    return [read_suite(document, str(file)) for file in files for document in load_texts(file)]


def _run(suite: Suite, now_unix_nano: int, *, wants_coverage: bool) -> tuple[int, int, int]:
    """Failed and passed tests, and rules without a test."""
    folder = Path(suite.file).parent
    bundle = load([str(folder / one) for one in suite.policies], suite.packs)
    outcomes, coverage = run_suite(suite, bundle, case_operation(now_unix_nano), now_unix_nano)
    print(f"{suite.file} ({bundle.id})")
    for outcome in outcomes:
        print(f"  {'FAIL' if outcome.differences else 'ok  '} {outcome.case.name}")
        for difference in outcome.differences:
            print(f"         {difference}")
    lacking = list(coverage.missing()) if wants_coverage else []
    for line in lacking:
        print(f"  LACK {line}")
    failed = sum(bool(outcome.differences) for outcome in outcomes)
    return failed, len(outcomes) - failed, len({line.split(":")[0] for line in lacking})
