from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import pytest

from otel_llm.components import Context
from otel_llm.errors import ConfigError
from otel_llm.log_records import LogRecords
from otel_llm.operation import Operation
from otel_llm.processors.budget import BudgetProcessor, Config, create
from otel_llm.processors.budget_config import WORDS, BudgetConfig, RedisConfig
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock
from tests.spans import NOON, SpanSpec, chat, operations

DAY_SECONDS = 86_400


class Rig:
    """A processor with a file, and whatever else looks into the same file."""

    def __init__(self, folder: Path, *budgets: BudgetConfig, **config: object) -> None:
        self.clock = FakeClock(NOON)
        self.metrics = Metrics()
        self.records = LogRecords()
        context = Context("budget", self.metrics, self.clock, self.records)
        settings = Config(budgets=budgets, path=str(folder / "b.db"), **config)  # type: ignore[arg-type] # fields of Config
        self.processor: BudgetProcessor = create(settings, context)
        self.processor._counting._measure()

    def pay(self, *amounts: float | None, span: int = 1, start: int = NOON, **attributes: object) -> list[Operation]:
        specs = [
            SpanSpec(chat(**attributes), span=span + number, start=start)
            for number in range(len(amounts))  # type: ignore[arg-type] # attribute values
        ]
        found = operations(*specs)
        for operation, amount in zip(found, amounts, strict=True):
            operation.set("otel_llm.cost.status", "unpriced" if amount is None else "priced")
            if amount is not None:
                operation.set("otel_llm.cost.total", amount)
                operation.set("otel_llm.cost.currency", "USD")
        self.processor.process(found)
        assert self.processor.flush()
        return found

    def spent(self) -> dict[str, float | None]:
        return {
            one.budget.name: None if one.spent_nano is None else one.spent_nano / 1e9
            for one in self.processor.statuses()
        }

    def gauges(self, name: str) -> dict[str, object]:
        return {
            dict(series.attributes).get("otel_llm.budget.name", ""): series.value
            for family in self.metrics.collect()
            if family.definition.name == name
            for series in family.series
        }


def budget(name: str = "all", limit: float = 10.0, **more: object) -> BudgetConfig:
    return BudgetConfig(name=name, limit=limit, **more)  # type: ignore[arg-type] # fields of BudgetConfig


def test_each_call_is_counted_into_every_budget_it_belongs_to(tmp_path: Path) -> None:
    rig = Rig(
        tmp_path,
        budget("all"),
        budget("shop", match={"service": "shop"}),
        budget("models", match={"model": ("gpt-4o", "gpt-5"), "service": ("shop",)}),
        budget("other", match={"owner": "nobody"}),
        budget("attribute", match={"app.tier": "gold"}),
    )
    rig.pay(0.25, 0.5)
    rig.pay(0.125, span=9, app__tier="gold", gen_ai__request__model="o3", gen_ai__response__model="o3-2025")
    assert rig.spent() == {"all": 0.875, "shop": 0.875, "models": 0.75, "other": 0.0, "attribute": 0.125}


def test_money_is_exact_over_many_calls_that_cost_next_to_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path, budget())
    for number in range(10):
        rig.pay(*[1.5e-10] * 100, span=1 + number * 100)
    [status] = rig.processor.statuses()
    assert (status.spent_nano, status.calls) == (150, 1000)


def test_a_span_that_comes_again_is_counted_once(tmp_path: Path) -> None:
    rig = Rig(tmp_path, budget())
    for _ in range(3):
        rig.pay(0.5)
    assert rig.spent() == {"all": 0.5}


def test_calls_without_a_price_or_in_another_currency_are_counted_as_such_and_not_as_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path, budget(), budget("euros", currency="EUR"))
    rig.pay(1.0, None)
    euros = {one.budget.name: (one.calls, one.unpriced_calls) for one in rig.processor.statuses()}
    assert euros == {"all": (2, 1), "euros": (2, 2)}
    assert rig.gauges("otel_llm.budget.unpriced_calls") == {"all": 1, "euros": 2}


def test_what_repeats_other_calls_came_priced_or_was_counted_by_the_app_is_not_counted(tmp_path: Path) -> None:
    rig = Rig(tmp_path, budget())
    repeats, counted = operations(SpanSpec(chat(), span=1), SpanSpec(chat(otel_llm__budget__reservation="r-1"), span=2))
    repeats.update(
        {"otel_llm.cost.status": "not_billable", "otel_llm.cost.total": 9.0, "otel_llm.cost.currency": "USD"}
    )
    counted.update({"otel_llm.cost.status": "priced", "otel_llm.cost.total": 9.0, "otel_llm.cost.currency": "USD"})
    came_priced = operations(
        SpanSpec(chat(otel_llm__cost__status="priced", otel_llm__cost__total=9.0, otel_llm__cost__currency="USD"))
    )
    rig.processor.process([repeats, counted, *came_priced])
    assert rig.processor.flush()
    assert rig.spent() == {"all": 0.0}


@pytest.mark.parametrize(("counts", "match", "told"), [(False, "shop", 1), (False, "other", 0), (True, "shop", 0)])
def test_calls_of_a_budget_that_came_priced_and_are_not_counted_are_told_of_once(
    *, counts: bool, match: str, told: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(tmp_path, budget(match={"service": match}), count_already_priced=counts)
    priced = chat(otel_llm__cost__status="priced", otel_llm__cost__total=9.0, otel_llm__cost__currency="USD")
    for span in (1, 2):
        rig.processor.process(operations(SpanSpec(priced, span=span)))
    assert caplog.text.count("processors.budget: calls come priced by a gateway before this one") == told
    assert rig.processor.flush()
    assert rig.spent() == {"all": 18.0 if counts else 0.0}


def test_a_call_that_an_app_priced_is_counted_by_the_first_gateway_with_budgets_and_by_no_other(tmp_path: Path) -> None:
    left = ("metrics", "budget")
    priced = chat(otel_llm__cost__status="priced", otel_llm__cost__total=9.0, otel_llm__cost__currency="USD")
    (call,) = operations(SpanSpec({**priced, "otel_llm.cost.uncounted": left}))
    (tmp_path / "second").mkdir()
    first, second = Rig(tmp_path, budget()), Rig(tmp_path / "second", budget())
    first.processor.process([call])
    assert call.get("otel_llm.cost.uncounted") == ("metrics",)
    second.processor.process([call])
    for rig, spent in ((first, 9.0), (second, 0.0)):
        assert rig.processor.flush()
        assert rig.spent() == {"all": spent}


def test_a_call_is_counted_in_the_period_in_which_it_began(tmp_path: Path) -> None:
    rig = Rig(tmp_path, budget("day", period="day"), budget("month"))
    rig.pay(1.0, start=NOON - DAY_SECONDS * 10**9)
    rig.pay(2.0, span=2, start=0)
    rig.pay(4.0, span=3, start=NOON + 40 * DAY_SECONDS * 10**9)
    assert rig.spent() == {"day": 6.0, "month": 7.0}
    rig.clock.advance(DAY_SECONDS)
    rig.pay()
    assert rig.spent() == {"day": 0.0, "month": 7.0}


def test_a_call_of_a_period_that_is_long_over_is_dropped_and_counted_as_dropped(tmp_path: Path) -> None:
    rig = Rig(tmp_path, budget())
    rig.pay(1.0, start=NOON - 60 * DAY_SECONDS * 10**9)
    assert rig.gauges("otel_llm.budget.dropped") == {"": 1}


def test_a_rolling_budget_forgets(tmp_path: Path) -> None:
    rig = Rig(tmp_path, budget(period="rolling", hours=24))
    rig.pay(1.0)
    rig.clock.advance(23 * 3600)
    rig.pay()
    assert rig.spent() == {"all": 1.0}
    rig.clock.advance(3 * 3600)
    rig.pay()
    assert rig.spent() == {"all": 0.0}


def test_each_threshold_is_told_once_in_a_period_though_two_processes_count(tmp_path: Path) -> None:
    one, other = (Rig(tmp_path, budget(limit=1.0, owner="team-a")) for _ in range(2))
    for number in range(12):
        (one, other)[number % 2].pay(0.1, span=1 + number)
    events = [record for rig in (one, other) for record in rig.records.take()]
    assert sorted(float(str(event.attributes["otel_llm.budget.threshold"])) for event in events) == [0.5, 0.8, 1.0]
    assert {event.event_name for event in events} == {"otel_llm.budget.crossing"}
    last = max(events, key=lambda event: float(str(event.attributes["otel_llm.budget.amount"])))
    assert last.attributes == {
        "otel_llm.budget.name": "all",
        "otel_llm.budget.owner": "team-a",
        "otel_llm.budget.threshold": 1.0,
        "otel_llm.budget.amount": 1.0,
        "otel_llm.budget.limit_amount": 1.0,
        "otel_llm.cost.currency": "USD",
        "otel_llm.budget.period.type": "month",
        "otel_llm.budget.period.start": "2026-11-01T00:00:00Z",
        "otel_llm.budget.period.end": "2026-12-01T00:00:00Z",
    }
    assert last.body == "budget all has crossed 100%: 1.00 of 1.00 USD spent in this month"


def test_a_batch_that_crosses_several_thresholds_tells_all_of_them(tmp_path: Path) -> None:
    rig = Rig(tmp_path, budget(limit=1.0, period="rolling"))
    rig.pay(0.4, start=NOON - 3 * 3600 * 10**9)
    rig.pay(0.45, span=2)
    assert [record.attributes["otel_llm.budget.threshold"] for record in rig.records.take()] == [0.5, 0.8]


def test_operations_of_an_exceeded_budget_say_so_until_its_period_is_over(tmp_path: Path) -> None:
    rig = Rig(tmp_path, budget(limit=1.0, period="day"), budget("large", limit=50.0))
    rig.pay(1.0)
    [marked] = rig.pay(1.0, span=2)
    assert marked.get("otel_llm.budget.exceeded") == ("all",)
    rig.clock.advance(DAY_SECONDS)
    rig.pay()
    [unmarked] = rig.pay(0.1, span=3, start=NOON + DAY_SECONDS * 10**9)
    assert unmarked.get("otel_llm.budget.exceeded") is None


def test_metrics_have_what_an_alert_on_the_burn_rate_needs(tmp_path: Path) -> None:
    rig = Rig(tmp_path, budget(limit=4.0, period="day"))
    assert rig.gauges("otel_llm.budget.spent") == {}  # nobody knows yet
    rig.pay(3.0)
    assert rig.gauges("otel_llm.budget.spent") == {"all": 3.0}
    assert rig.gauges("otel_llm.budget.limit") == {"all": 4.0}
    assert rig.gauges("otel_llm.budget.utilization") == {"all": 0.75}
    assert rig.gauges("otel_llm.budget.elapsed") == {"all": 0.5}
    assert rig.gauges("otel_llm.budget.usage") == {"all": 3.0}
    assert rig.gauges("otel_llm.budget.age") == {"": 0.0}
    assert rig.gauges("otel_llm.budget.waiting") == {"": 0.0}


def test_what_is_known_grows_stale_and_says_so(tmp_path: Path) -> None:
    rig = Rig(tmp_path, budget())
    assert [one.status for one in rig.processor.statuses()] == ["unknown"]
    rig.pay(1.0)
    assert [one.status for one in rig.processor.statuses()] == ["fresh"]
    rig.clock.advance(16)
    assert [(one.status, one.age_seconds) for one in rig.processor.statuses()] == [("stale", 16.0)]


def test_all_problems_of_budgets_are_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "budgets.yaml"
    file.write_text("budgets:\n- {name: all, limit: 5}\n- {name: paris, limit: 5, time_zone: Europe/Pari}\n")
    with pytest.raises(ConfigError) as caught:
        Rig(tmp_path, budget(), budget("b", match={"modell": "x", "tenant": ()}), file=str(file))
    words = ", ".join(WORDS)
    unknown = (
        f"processors.budget.budgets[1].match.modell: expected one of {words}, or an attribute; did you mean 'model'?"
    )
    paris = (
        f"{file}: budgets[1].time_zone: there is no time zone 'Europe/Pari' here; expected one such as Europe/Berlin, "
        "with the package tzdata where the system has none"
    )
    assert caught.value.problems == (
        unknown,
        "processors.budget.budgets[1].match.tenant: expected at least one value; a budget for no call is none",
        paris,
        f"{file}: budgets[0].name: 'all' is the name of another budget, too; choose another",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "cannot read"),
        ("budgets:\n- {name: a}\n", "limit"),
        ("budgets:\n- {name: a, limit: 0}\n", "limit"),
        ("limits: []\n", "limits"),
        ("{", "budgets.yaml"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str | None, problem: str) -> None:
    file = tmp_path / "budgets.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=problem) as caught:
        Rig(tmp_path, file=str(file))
    assert str(caught.value).startswith("processors.budget.file: ")


def test_without_budgets_there_is_nothing_to_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no budgets"):
        Rig(tmp_path)


def test_credentials_in_an_address_are_refused_and_not_shown(tmp_path: Path) -> None:
    config = {"url": "redis://joe:geheim@cache:6379/0"}
    with pytest.raises(ConfigError, match="expected no credentials") as caught:
        Rig(tmp_path, budget(), redis=RedisConfig(**config))
    assert "geheim" not in str(caught.value)


def test_a_store_that_is_not_there_is_named_and_nothing_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "later"
    rig = Rig(folder, budget())
    found = operations(SpanSpec(chat()))
    found[0].update({"otel_llm.cost.status": "priced", "otel_llm.cost.total": 1.0, "otel_llm.cost.currency": "USD"})
    rig.processor.process(found)
    assert not rig.processor.flush()
    assert "processors.budget.path: the file" in caplog.text
    assert rig.gauges("otel_llm.budget.store.failures") == {"": 1}
    assert rig.gauges("otel_llm.budget.waiting") == {"": 2.0}
    folder.mkdir()
    rig.pay(2.0, span=2)
    rig.pay()
    assert rig.spent() == {"all": 3.0}


def test_a_redis_that_takes_connections_and_never_answers_holds_up_no_pipeline(tmp_path: Path) -> None:
    pytest.importorskip("redis", reason="redis is not installed")
    with socket.socket(socket.AF_UNIX) as deaf, tempfile.TemporaryDirectory() as folder:
        deaf.bind(f"{folder}/s")
        deaf.listen()
        redis = RedisConfig(url=f"unix://{folder}/s", timeout_seconds=1.0)
        rig = Rig(tmp_path, budget(), redis=redis, interval_seconds=0.001)
        rig.processor.start()
        connection, _ = deaf.accept()  # the keeper is there, and waits
        found = operations(SpanSpec(chat()))
        found[0].update({"otel_llm.cost.status": "priced", "otel_llm.cost.total": 1.0, "otel_llm.cost.currency": "USD"})
        rig.processor.process(found)
        assert [(one.status, one.spent_nano) for one in rig.processor.statuses()] == [("unknown", None)]
        assert rig.gauges("otel_llm.budget.waiting") == {"": 2.0}
        rig.processor.shutdown(20)
        assert rig.gauges("otel_llm.budget.store.failures")[""] >= 1  # type: ignore[operator] # a number
        connection.close()
