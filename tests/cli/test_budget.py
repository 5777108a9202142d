from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path

import pytest

from otel_llm.budget.batch import Batch
from otel_llm.cli.main import main
from otel_llm.clock import SystemClock
from otel_llm.counters.sqlite import SqliteCounters
from otel_llm.processors.budget_config import BudgetConfig, Config, read_budgets

SETTINGS = """\
  budgets:
  - {{name: support, owner: team-support, match: {{owner: support}}, limit: 500, at_limit: deny}}
  - {{name: everything, limit: 20, period: rolling, hours: 12, currency: EUR}}
  path: {path}
"""
GATEWAY = """\
receivers:
  otlp:
processors:
  cost:
  budget:
{budget}
exporters:
  debug:
service:
  pipelines:
    traces: {{receivers: [otlp], processors: [cost, budget], exporters: [debug]}}
"""


@pytest.fixture
def gateway(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    budget = "".join(f"  {line}\n" for line in SETTINGS.format(path=tmp_path / "b.db").splitlines())
    path.write_text(GATEWAY.format(budget=budget))
    return path


def spend(path: Path, nano: int) -> None:
    [support] = read_budgets(Config(budgets=(BudgetConfig(name="support", limit=500),)), "x")
    window = support.period.slice_of(time.time_ns())
    deltas = {support.spent_key(window): nano, support.calls_key(window): 3, support.unpriced_key(window): 1}
    with closing(SqliteCounters(str(path), SystemClock())) as store:
        store.apply(Batch("w", 1, deltas, dict.fromkeys(deltas, 4_000_000_000)))


def test_the_table_says_what_is_spent_of_what_and_where_that_is_from(
    gateway: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spend(tmp_path / "b.db", 402_170_000_000)
    assert main(["budget", "--config", str(gateway)]) == 0
    _, support, everything = capsys.readouterr().out.splitlines()
    assert support.split()[:8] == ["support", "team-support", "402.1700", "500.00", "USD", "80.4%", "4", "1"]
    assert str(tmp_path / "b.db") in support
    assert everything.split()[:11] == ["everything", "-", "0.0000", "20.00", "EUR", "0.0%", "0", "0", "last", "12", "h"]


def test_json_has_money_as_exact_texts(gateway: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spend(tmp_path / "b.db", 402_170_000_001)
    assert main(["budget", "--config", str(gateway), "--json"]) == 0
    support, _ = map(json.loads, capsys.readouterr().out.splitlines())
    assert (support["spent"], support["limit"], support["status"]) == ("402.170000001", "500.000000000", "fresh")
    assert support["match"] == {"owner": ["support"]}


def test_a_store_that_is_not_there_is_unknown_and_not_zero_and_is_not_made(
    gateway: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["budget", "--config", str(gateway)]) == 1
    printed = capsys.readouterr()
    assert printed.out.count("unknown") == 8
    assert f"processors.budget.path: the file {tmp_path / 'b.db'}: there is none yet" in printed.err
    assert not (tmp_path / "b.db").exists()


def test_a_redis_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("redis", reason="redis is not installed")
    path = tmp_path / "budgets.yaml"
    path.write_text("budgets: [{name: all, limit: 5}]\nredis: {url: redis://127.0.0.1:9/0}\n")
    assert main(["budget", "--file", str(path)]) == 1
    assert f"{path}.redis.url: Redis at redis://127.0.0.1:9/0: ConnectionError" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--file", "nowhere.yaml"], ["--file", "wrong.yaml"], ["--config", "none.yaml"], []]
)
def test_what_has_no_budgets_is_told(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.yaml").write_text("budget: []\n")
    (tmp_path / "none.yaml").write_text(GATEWAY.format(budget="").replace("  budget:\n", "").replace(", budget", ""))
    assert main(["budget", *arguments]) == 1
    assert capsys.readouterr().err


def test_validate_tells_the_problems_of_budgets(gateway: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.write_text(gateway.read_text().replace("hours: 12", "hours: 0").replace("limit: 500", "limit: -1"))
    assert main(["validate", "--config", str(gateway)]) == 1
    problems = capsys.readouterr().err
    assert "processors.budget.budgets[0].limit" in problems
    assert "processors.budget.budgets[1].hours" in problems


def test_validate_tells_of_a_file_that_is_no_store(
    gateway: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "b.db").write_text("something else")
    assert main(["validate", "--config", str(gateway)]) == 1
    assert f"processors.budget.path: {tmp_path / 'b.db'} is no SQLite file" in capsys.readouterr().err


def test_a_budget_that_stands_before_the_prices_is_refused(gateway: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.write_text(gateway.read_text().replace("[cost, budget]", "[budget, cost]"))
    assert main(["validate", "--config", str(gateway)]) == 1
    assert "put cost before budget" in capsys.readouterr().err
