"""Tail sampling: what is kept, what is said about it, and that nothing is lost on the way."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_llm.components import Context
from otel_llm.connectors.tail_sampling import Config, TailSampling
from otel_llm.delivery.config import DiskConfig
from otel_llm.errors import ConfigError, PermanentError, RefusedError, RetryableError
from otel_llm.operation import AttributeValue
from otel_llm.signals import Payload
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock
from tests.codecs.odd_encoding import OddWriter
from tests.spans import NOON, SECOND, SpanSpec, attributes_of, chat, request, spans_of

COUNT, RULE, OVERFLOW = (f"otel_llm.sampling.{name}" for name in ("adjusted_count", "rule", "overflow"))


class Sampler:
    """A connector whose thread never runs: a test says when time passes."""

    def __init__(self, **config: object) -> None:
        self.clock, self.metrics = FakeClock(), Metrics()
        settings = Config(**{"sampling_percentage": 0.0, **config})  # type: ignore[arg-type] # settings of the test
        self.sampling = TailSampling(settings, Context("tail_sampling", self.metrics, self.clock))
        self.sampling._emit = self._emit
        self.has_room = True
        self.emitted: list[Payload] = []

    @classmethod
    def on_disk(cls, folder: Path, **config: object) -> Sampler:
        """One with a journal; it takes over what is in the folder when time passes."""
        sampler = cls(**{"disk": DiskConfig(directory=str(folder), size_bytes=1024 * 1024, sync="never"), **config})
        assert sampler.sampling.disk is not None
        sampler.sampling._open_journal(sampler.sampling.disk)
        return sampler

    def _emit(self, payload: Payload) -> None:
        if not self.has_room:
            raise RefusedError("full")
        self.emitted.append(payload)

    def send(self, *specs: SpanSpec) -> None:
        self.take(request(specs))

    def take(self, body: bytes) -> None:
        self.sampling.export(Payload.of("traces", (body,), len(spans_of(body))), 10.0)

    def takes(self, spec: SpanSpec) -> bool:
        try:
            self.send(spec)
        except RetryableError:
            return False
        return True

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.sampling.decide_due()

    @property
    def spans(self) -> list[Span]:
        """What was kept, in order."""
        return [span for payload in self.emitted for span in spans_of(payload.join())]

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def counted(self, decision: str) -> int:
        (family,) = [one for one in self.metrics.collect() if one.definition.name == "otel_llm.sampling.spans"]
        return sum(
            int(one.value)
            for one in family.series
            if dict(one.attributes)["otel_llm.sampling.decision"] == decision and isinstance(one.value, int | float)
        )


def call(trace: int, name: str = "call", **fields: object) -> SpanSpec:
    return SpanSpec(**{"attributes": chat(), "trace": trace, "name": name, "parent": 1, "span": 2, **fields})  # type: ignore[arg-type] # fields of SpanSpec


def root(trace: int, name: str = "root", **fields: object) -> SpanSpec:
    return SpanSpec(**{"trace": trace, "name": name, "span": 1, "scope": "app", **fields})  # type: ignore[arg-type] # as above


@pytest.mark.parametrize(
    ("spec", "rule"),
    [
        (call(1, status=2), "error"),
        (call(1, attributes=chat(otel_llm__policy__verdict__type="deny")), "violation"),
        (call(1, attributes=chat(otel_llm__policy__verdict__type="error")), "violation"),
        (call(1, attributes=chat(otel_llm__cost__total=0.6, otel_llm__cost__currency="USD")), "cost"),
        (call(1, seconds=61.0), "duration"),
    ],
)
def test_what_is_worth_looking_at_is_kept_whole_and_says_why(spec: SpanSpec, rule: str) -> None:
    sampler = Sampler(keep_from_cost=0.5, keep_from_seconds=60.0)
    sampler.send(call(1, "before"), call(2, "another trace"))
    assert sampler.names == []
    sampler.send(spec)
    sampler.send(root(1))
    sampler.wait(40.0)
    assert sampler.names == ["before", "call", "root"]
    found = [attributes_of(span) for span in sampler.spans]
    assert [one.get(RULE) for one in found] == [None, None, rule]
    assert all(COUNT not in one for one in found)
    assert (sampler.counted("kept"), sampler.counted("sampled_out"), sampler.sampling.held_bytes) == (3, 1, 0)


@pytest.mark.parametrize(
    "attributes",
    [
        chat(otel_llm__policy__verdict__type="allow"),
        chat(otel_llm__policy__verdict__type="audit"),
        chat(otel_llm__cost__total=0.6, otel_llm__cost__currency="EUR"),
        chat(otel_llm__cost__total=0.4, otel_llm__cost__currency="USD"),
        chat(note="otel_llm.policy.verdict.type deny"),
        chat(otel_llm__cost__total="0.6", otel_llm__cost__currency="USD"),
    ],
)
def test_everything_else_is_one_of_the_many(attributes: dict[str, AttributeValue]) -> None:
    sampler = Sampler(keep_from_cost=0.5, keep_from_seconds=60.0)
    sampler.send(root(1), call(1, attributes=attributes))
    sampler.wait(40.0)
    assert (sampler.names, sampler.counted("sampled_out")) == ([], 2)


def test_amounts_of_a_trace_are_added_up_without_rounding() -> None:
    sampler = Sampler(keep_from_cost=0.3)
    for number in range(3):
        sampler.send(call(1, str(number), attributes=chat(otel_llm__cost__total=0.1, otel_llm__cost__currency="USD")))
    assert sampler.names == ["0", "1", "2"]


def test_a_part_of_the_rest_is_kept_and_says_how_many_it_stands_for() -> None:
    sampler = Sampler(sampling_percentage=25.0)
    rng = random.Random(7)
    traces = [rng.getrandbits(128) for _ in range(2000)]
    for trace in traces:
        sampler.send(root(trace), call(trace))
    sampler.wait(40.0)
    kept = sampler.spans
    assert 800 < len(kept) < 1200
    assert {attributes_of(span)[COUNT] for span in kept} == {4.0}
    assert {span.trace_state for span in kept} == {"ot=th:c"}
    estimate = sum(float(str(attributes_of(span)[COUNT])) for span in kept)
    assert estimate == pytest.approx(4000, rel=0.1)
    assert {attributes_of(span).get(RULE) for span in kept} == {"probability", None}
    whole = {span.trace_id for span in kept}
    assert len(kept) == 2 * len(whole)


def test_two_samplers_keep_the_same_and_the_count_is_that_of_the_stricter_one() -> None:
    first, second, third = (Sampler(sampling_percentage=percent) for percent in (50.0, 12.5, 50.0))
    rng = random.Random(3)
    for _ in range(300):
        first.send(root(rng.getrandbits(128)))
    first.wait(40.0)
    for before, after in ((first, second), (second, third)):
        for payload in before.emitted:
            after.take(payload.join())
        after.wait(40.0)
    assert {attributes_of(span)[COUNT] for span in second.spans} == {8.0}
    assert [one.SerializeToString() for one in third.spans] == [one.SerializeToString() for one in second.spans]
    for span in second.spans:
        assert [item.key for item in span.attributes].count(COUNT) == 1


def test_a_decision_is_made_soon_after_the_root_and_else_when_the_wait_is_over() -> None:
    sampler = Sampler(sampling_percentage=100.0, decision_wait_seconds=30.0, wait_after_root_seconds=5.0)
    sampler.send(call(1, "a"), call(2, "b"))
    sampler.wait(20.0)
    sampler.send(root(1, "root of a"))
    sampler.wait(4.0)
    assert sampler.names == []
    sampler.wait(1.0)
    assert sampler.names == ["a", "root of a"]
    sampler.wait(5.0)
    assert sampler.names == ["a", "root of a", "b"]


def test_late_spans_share_the_fate_of_their_trace_and_late_errors_are_kept() -> None:
    sampler = Sampler()
    sampler.send(call(1, status=2), call(2, "gone"))
    sampler.wait(40.0)
    sampler.send(call(1, "late of 1"), call(2, "late of 2"), call(2, "late error of 2", status=2))
    sampler.send(call(2, "after the error"))
    assert sampler.names == ["call", "late of 1", "late of 2", "late error of 2", "after the error"]
    assert (sampler.counted("kept"), sampler.counted("sampled_out")) == (5, 1)


def test_a_giant_trace_is_decided_on_when_it_reaches_the_limit_and_its_root_says_so() -> None:
    sampler = Sampler(sampling_percentage=100.0, max_trace_spans=10)
    for number in range(9):
        sampler.send(call(1, str(number)))
    assert sampler.names == []
    sampler.send(call(1, "9"))
    assert len(sampler.names) == 10
    sampler.send(call(1, "10"), root(1))
    found = {span.name: attributes_of(span) for span in sampler.spans}
    assert (found["root"][OVERFLOW], found["root"][RULE], OVERFLOW in found["10"]) == (True, "probability", False)


def test_when_there_is_no_room_the_oldest_are_decided_on_early_and_nothing_is_lost() -> None:
    sampler = Sampler(sampling_percentage=100.0, max_size_bytes=20_000)
    for trace in range(1, 101):
        sampler.send(call(trace, str(trace)))
        assert sampler.sampling.held_bytes < 21_000
    assert sampler.names
    sampler.wait(40.0)
    assert sampler.names == [str(trace) for trace in range(1, 101)]


def test_when_nobody_takes_what_was_kept_it_is_held_and_then_refused_and_nothing_is_lost() -> None:
    sampler = Sampler(sampling_percentage=100.0, max_size_bytes=5_000)
    sampler.has_room = False
    taken = next(trace - 1 for trace in range(1, 100) if not sampler.takes(call(trace, str(trace))))
    assert 3 < taken < 50
    sampler.has_room = True
    sampler.wait(40.0)
    assert sampler.names == [str(trace) for trace in range(1, taken + 1)]
    assert sampler.sampling.held_bytes == 0


def test_stopping_decides_on_everything_and_counts_what_nobody_takes() -> None:
    sampler = Sampler(sampling_percentage=100.0)
    sampler.send(call(1), call(2))
    sampler.sampling.shutdown()
    sampler.sampling.shutdown()
    assert len(sampler.names) == 2
    blocked = Sampler(sampling_percentage=100.0)
    blocked.has_room = False
    blocked.send(call(1), call(2))
    blocked.sampling.shutdown()
    dropped = [one for one in blocked.metrics.collect() if one.definition.name == "otel_llm.pipeline.items.dropped"]
    assert [(dict(one.attributes)["otel_llm.drop.reason"], one.value) for one in dropped[0].series] == [("shutdown", 2)]


def test_spans_without_a_trace_go_on_by_themselves_and_what_is_no_request_is_refused() -> None:
    sampler = Sampler()
    message = ExportTraceServiceRequest.FromString(request([call(1, "lost")]))
    message.resource_spans[0].scope_spans[0].spans[0].trace_id = b""
    sampler.take(message.SerializeToString())
    assert sampler.names == ["lost"]
    with pytest.raises(PermanentError):
        sampler.sampling.export(Payload.of("traces", (b"\x0a\x05x",), 1), 1.0)


def test_a_kept_span_that_says_nothing_new_leaves_byte_for_byte() -> None:
    sampler = Sampler()
    specs = [call(1, status=2), call(1, "other", start=NOON + SECOND)]
    sampler.send(*specs)
    assert b"".join(payload.join() for payload in sampler.emitted) == request(specs)


@given(st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_whatever_the_encoding_kept_and_sampled_out_are_what_came(seed: int) -> None:
    rng = random.Random(seed)
    sampler = Sampler(sampling_percentage=50.0, max_trace_spans=rng.choice((1, 3, 100)))
    sent: list[Span] = []
    for _ in range(3):
        body = OddWriter(rng).request()
        try:
            sent += spans_of(body)
        except Exception:  # noqa: BLE001, S112 - what protobuf does not read is another test's
            continue
        sampler.take(body)
    sampler.sampling.shutdown()
    kept = sampler.spans
    untraced = sum(not span.trace_id for span in sent)
    assert sampler.counted("kept") + sampler.counted("sampled_out") + untraced == len(sent)
    assert _bare(kept) <= _bare(sent)


def _bare(spans: Iterable[Span]) -> set[bytes]:
    """Spans without what sampling adds."""
    found = set()
    for span in spans:
        bare = Span()
        bare.CopyFrom(span)
        bare.trace_state = ""
        attributes = [item for item in bare.attributes if item.key not in (COUNT, RULE, OVERFLOW)]
        del bare.attributes[:]
        bare.attributes.extend(attributes)
        found.add(bare.SerializeToString(deterministic=True))
    return found


def test_deadlines_of_traces_that_were_decided_on_do_not_pile_up() -> None:
    sampler = Sampler()
    sampler.send(call(1, "waiting"))
    for trace in range(2, 5000):
        sampler.send(call(trace, status=2))
    assert len(sampler.sampling._deadlines) < 1100
    sampler.wait(40.0)
    assert (sampler.counted("kept"), sampler.counted("sampled_out")) == (4998, 1)


def killed(folder: Path, number: int = 0) -> Path:
    """What a kill at this instant leaves, in another place: nobody holds its locks."""
    return shutil.copytree(folder, folder.parent / f"{folder.name}-{number}")


def journals(folder: Path) -> list[Path]:
    return list((folder / "tail_sampling" / "held").iterdir())


def test_what_was_held_comes_again_after_a_kill(tmp_path: Path) -> None:
    first = Sampler.on_disk(tmp_path / "a", sampling_percentage=100.0)
    first.send(call(1, "one"), call(2, "two"))
    first.send(call(3, "three"))
    assert first.names == []
    left = killed(tmp_path / "a")
    second = Sampler.on_disk(left, sampling_percentage=100.0)
    second.wait(0.0)
    assert second.sampling.held_bytes == first.sampling.held_bytes
    again = Sampler.on_disk(killed(left), sampling_percentage=100.0)
    for sampler in (second, again):
        sampler.wait(40.0)
        sampler.wait(40.0)
        assert sorted(sampler.names) == ["one", "three", "two"]
    second.sampling.shutdown()
    assert journals(left) == []


def test_what_a_rule_kept_is_not_on_disk_any_more_and_nothing_of_it_comes_again(tmp_path: Path) -> None:
    first = Sampler.on_disk(tmp_path / "a")
    first.send(call(1, "error", status=2))
    first.send(call(2, "held"))
    first.send(call(1, "late"))
    assert first.names == ["error", "late"]
    second = Sampler.on_disk(killed(tmp_path / "a"), sampling_percentage=100.0)
    second.wait(0.0)
    second.wait(40.0)
    # The record of "late" is behind that of "held".
    assert sorted(second.names) == ["held", "late"]


def test_what_finds_no_room_at_a_stop_stays_on_disk_and_is_not_dropped(tmp_path: Path) -> None:
    first = Sampler.on_disk(tmp_path, sampling_percentage=100.0)
    first.has_room = False
    first.send(call(1, "kept"))
    first.sampling.shutdown()
    dropped = [one for one in first.metrics.collect() if one.definition.name == "otel_llm.pipeline.items.dropped"]
    assert not [series for one in dropped for series in one.series]
    second = Sampler.on_disk(tmp_path, sampling_percentage=100.0)
    second.wait(0.0)
    second.wait(40.0)
    assert second.names == ["kept"]
    second.sampling.shutdown()
    assert journals(tmp_path) == []


def test_a_journal_in_use_is_left_alone(tmp_path: Path) -> None:
    first = Sampler.on_disk(tmp_path, sampling_percentage=100.0)
    first.send(call(1))
    second = Sampler.on_disk(tmp_path, sampling_percentage=100.0)
    second.wait(0.0)
    assert second.sampling.held_bytes == 0
    first.wait(40.0)
    assert first.names == ["call"]


def test_a_heritage_for_which_there_is_no_room_waits_on_disk(tmp_path: Path) -> None:
    first = Sampler.on_disk(tmp_path / "a", sampling_percentage=100.0)
    for trace in range(1, 41):
        first.send(call(trace, str(trace)))
    second = Sampler.on_disk(killed(tmp_path / "a"), sampling_percentage=100.0, max_size_bytes=5_000)
    second.has_room = False
    second.wait(0.0)
    assert second.sampling.held_bytes < 6_000
    second.has_room = True
    for _ in range(3):
        second.wait(40.0)
    assert second.names == [str(trace) for trace in range(1, 41)]


def test_a_journal_that_is_full_has_the_oldest_decided_on_early(tmp_path: Path) -> None:
    sampler = Sampler.on_disk(tmp_path, sampling_percentage=100.0)
    text = "x" * 20_000
    for trace in range(1, 201):
        sampler.send(call(trace, str(trace), attributes=chat(text=text)))
        assert sum(one.stat().st_size for one in tmp_path.rglob("*.log")) <= 1024 * 1024
    assert 100 < len(sampler.names) < 200
    sampler.wait(40.0)
    assert sampler.names == [str(trace) for trace in range(1, 201)]


def test_a_journal_that_cannot_be_made_is_a_problem_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "tail_sampling").write_text("a file")
    with pytest.raises(ConfigError, match=r"connectors\.tail_sampling\.disk\.directory: cannot use .*; give a folder"):
        Sampler.on_disk(tmp_path)


def test_damage_in_a_journal_is_counted_and_kept_and_the_rest_comes_again(tmp_path: Path) -> None:
    first = Sampler.on_disk(tmp_path / "a", sampling_percentage=100.0)
    for trace in (1, 2, 3):
        first.send(call(trace, f"number-{trace}"))
    left = killed(tmp_path / "a")
    (log,) = left.rglob("*.log")
    data = log.read_bytes()
    log.write_bytes(data.replace(b"number-2", b"nothing!"))
    second = Sampler.on_disk(left, sampling_percentage=100.0)
    second.wait(0.0)
    second.wait(40.0)
    assert second.names == ["number-1", "number-3"]
    assert list(left.rglob("quarantine/*.log"))


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_whenever_it_is_killed_every_span_it_took_comes_out_of_one_of_the_two(seed: int) -> None:
    rng = random.Random(seed)
    with TemporaryDirectory() as name:
        folder = Path(name) / "a"
        config = {"sampling_percentage": 100.0, "max_size_bytes": rng.choice((3_000, 10**6))}
        sampler = Sampler.on_disk(folder, **config)
        taken: set[str] = set()
        out: set[str] = set()
        for life in range(3):
            for number in range(rng.randint(1, 12)):
                sampler.has_room = rng.random() < 0.8
                span = call(rng.randint(1, 6), f"{life}-{number}", status=rng.choice((0, 0, 2)))
                if sampler.takes(span):
                    taken.add(str(span.name))
                sampler.wait(rng.choice((0.0, 0.0, 3.0, 31.0)))
            out.update(sampler.names)
            folder = killed(folder, life)
            sampler = Sampler.on_disk(folder, **config)
        for _ in range(4):
            sampler.wait(40.0)
        assert out.union(sampler.names) == taken
        sampler.sampling.shutdown()
        assert journals(folder) == []
