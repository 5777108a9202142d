"""Data sets as pytest tests, compared with a baseline.

    @pytest.mark.otel_llm(dataset="cases.jsonl", repetitions=3)
    def test_answers(case):
        assert "Paris" in answer(case.input)

`case` goes through the cases of the data set (a path beside the test's file, or a list of cases), each so many times.
With `--otel-llm-baseline FILE` a case that fails is no failure of its own: all of them together are compared with the
baseline when the session ends, and the session fails when they are worse. Works with xdist.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Final, cast

import pytest

from otel_llm.quality.regression.baseline import BaselineError, read_baseline, write_baseline
from otel_llm.quality.regression.cases import Case, CaseError, read_cases
from otel_llm.quality.regression.reports import markdown, sentence
from otel_llm.quality.regression.run import CaseResult
from otel_llm.quality.regression.verdict import compare

_MARK: Final = "otel_llm"
_PROPERTY: Final = "otel_llm_case"
_KEY: Final = pytest.StashKey["_Session"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Our options."""
    group = parser.getgroup("otel_llm", "data sets compared with a baseline")
    group.addoption("--otel-llm-baseline", metavar="FILE", help="the baseline that data sets are compared with")
    group.addoption("--otel-llm-update-baseline", action="store_true", help="write the baseline anew")
    group.addoption("--otel-llm-report", metavar="FILE", help="where to write a report in Markdown")
    group.addoption(
        "--otel-llm-alpha",
        type=float,
        default=0.05,
        metavar="P",
        help="how probable it may be to call unchanged results worse (default: 0.05)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Our marker, and the session's results where they come together."""
    config.addinivalue_line("markers", f"{_MARK}(dataset, repetitions=1): run for each case of a data set")
    session = config.stash[_KEY] = _Session(config)
    config.pluginmanager.register(_Collector(session), "otel_llm_collector")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The cases of the data set, each so many times."""
    mark = metafunc.definition.get_closest_marker(_MARK)
    if mark is None:
        return
    cases = _cases(mark, Path(metafunc.definition.path).parent)
    repetitions = int(cast("int", mark.kwargs.get("repetitions", 1)))
    rows = [(case, f"{case.id}-{number}") for case in cases for number in range(1, repetitions + 1)]
    metafunc.parametrize("case", [case for case, _ in rows], ids=[id_ for _, id_ in rows])


def _cases(mark: pytest.Mark, folder: Path) -> Sequence[Case]:
    dataset: object = mark.args[0] if mark.args else mark.kwargs.get("dataset")
    if isinstance(dataset, list | tuple):
        return [case for case in dataset if isinstance(case, Case)]
    if not isinstance(dataset, str | Path):
        raise pytest.UsageError(f"{_MARK}: expected a path or a list of cases as dataset, got {dataset!r:.60}")
    path = folder / dataset
    try:
        return read_cases(path.read_text(encoding="utf-8").splitlines())
    except OSError as error:
        raise pytest.UsageError(f"{path}: cannot be read: {error}") from error
    except CaseError as error:
        raise pytest.UsageError("\n".join(f"{path}, {problem}" for problem in error.problems)) from error


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note which case a report is about, and leave what failed to the verdict when there is a baseline."""
    report = yield
    if call.when != "call" or item.get_closest_marker(_MARK) is None or not isinstance(item, pytest.Function):
        return report
    case = item.callspec.params.get("case")
    if not isinstance(case, Case):
        return report
    name = item.nodeid.partition("[")[0]
    report.user_properties.append((_PROPERTY, f"{name}[{case.id}]={int(report.outcome == 'passed')}"))
    if report.outcome == "failed" and item.config.stash[_KEY].has_baseline:
        report.outcome = "skipped"
        report.wasxfail = "counted by the comparison with the baseline"
    return report


class _Session:
    """What data sets have come to in this session, where all reports come together.

    Args:
        config: pytest's.

    Attributes:
        has_baseline: whether there is one to compare with.
        is_failed: whether results are worse.
        lines: what to say at the end.
    """

    def __init__(self, config: pytest.Config) -> None:
        path = cast("str | None", config.getoption("--otel-llm-baseline"))
        self._path = None if path is None else Path(path)
        self._is_updating = bool(config.getoption("--otel-llm-update-baseline"))
        self._report = cast("str | None", config.getoption("--otel-llm-report"))
        self._alpha = float(cast("float", config.getoption("--otel-llm-alpha")))
        self._scores: dict[str, list[float]] = {}
        self._seconds: dict[str, list[float]] = {}
        self.is_failed = False
        self.lines: list[str] = []
        if self._is_updating and self._path is None:
            raise pytest.UsageError("--otel-llm-update-baseline: needs --otel-llm-baseline FILE")
        self._baseline = self._read()

    def _read(self) -> Mapping[str, CaseResult]:
        if self._path is None or self._is_updating:
            return {}
        try:
            return read_baseline(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, BaselineError) as error:
            raise pytest.UsageError(f"--otel-llm-baseline {self._path}: {error}") from error

    @property
    def has_baseline(self) -> bool:
        """Whether failures are left to the verdict."""
        return bool(self._baseline) or self._is_updating

    def add(self, case: str, score: float, seconds: float) -> None:
        """A test of a case has come to its end."""
        self._scores.setdefault(case, []).append(score)
        self._seconds.setdefault(case, []).append(seconds)

    def finish(self) -> None:
        """Compare, or write the baseline."""
        results = [CaseResult(case, tuple(scores), tuple(self._seconds[case])) for case, scores in self._scores.items()]
        if not results:
            return
        verdict = compare(results, self._baseline, self._alpha)
        if self._is_updating and self._path is not None:
            self._path.write_text(write_baseline(results), encoding="utf-8")
            self.lines.append(f"baseline written to {self._path}: {len(results)} cases")
        elif self._path is not None:
            self.is_failed = verdict.outcome == "worse"
            self.lines += [sentence(verdict), *(f"broken: {case}" for case in verdict.broken)]
        if self._report is not None:
            Path(self._report).write_text(markdown("pytest", results, verdict), encoding="utf-8")


class _Collector:
    """Keeps what reports say; a plugin of its own, as that hook is not told the configuration."""

    def __init__(self, session: _Session) -> None:
        self._session = session

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """With xdist this is called where all reports come together."""
        if report.when != "call":
            return
        for key, value in report.user_properties:
            if key == _PROPERTY:
                case, _, passed = str(value).rpartition("=")
                self._session.add(case, float(passed), report.duration)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Compare, and fail the session when results are worse."""
    ours = session.config.stash[_KEY]
    if not hasattr(session.config, "workerinput"):  # a worker of xdist has its own part only
        ours.finish()
        if ours.is_failed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what came out."""
    lines = config.stash[_KEY].lines
    if lines:
        terminalreporter.section("otel_llm")
        for line in lines:
            terminalreporter.line(line)
