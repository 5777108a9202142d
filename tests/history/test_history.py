"""What was shortened is restored as it was, or said to be missing."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm.cost.recent import Recent
from otel_llm.history import (
    Conversation,
    MissingError,
    Record,
    Reference,
    Restorer,
    join,
    shorten_messages,
    shorten_value,
    split,
)
from otel_llm.history.references import as_input

TOOLS = "gen_ai.tool.definitions"


def span(number: int) -> bytes:
    return number.to_bytes(24, "big")


@dataclass(frozen=True)
class Call:
    """A call as its span has it before it is shortened."""

    number: int
    conversation: str
    input: str
    output: str | None = None
    tools: str | None = None


def shortened(calls: list[Call], remembered: int = 10_000) -> list[Record]:
    """The spans of calls, in their order, as they leave."""
    memory: Recent[bytes, bytes] = Recent(remembered)
    records = []
    for call in calls:
        conversation, id_ = Conversation.of(call.conversation), span(call.number)
        shorter = shorten_messages(conversation, id_, call.input, call.output, memory)
        tools = shorten_value(conversation, id_, TOOLS, call.tools, memory) if call.tools is not None else None
        values = {} if call.tools is None else {TOOLS: tools or call.tools}
        text = call.input if shorter is None else shorter[0]
        replaced = frozenset({TOOLS} if tools else ())
        records.append(Record(id_, text, call.output, values, is_input_short=shorter is not None, replaced=replaced))
    return records


def restorer_of(records: list[Record]) -> Restorer:
    restorer = Restorer()
    for record in records:
        restorer.add(record)
    return restorer


def whole(record: Record, restorer: Restorer) -> str:
    return restorer.input(record) if record.is_input_short else record.input or ""


def message(text: str, role: str = "user") -> str:
    return json.dumps({"role": role, "parts": [{"type": "text", "content": text}]}, separators=(",", ":"))


def answer(text: str) -> str:
    """An answer that is one message, which the next call sends back as `message(text, "assistant")`."""
    return f'[{message(text, "assistant")[:-1]}, "finish_reason": "stop"}}]'


def is_same(restored: str, sent: str) -> bool:
    """Whether two lists of messages are the same as values, and in all but the white space of their texts."""
    return json.loads(restored) == json.loads(sent) and split(restored) == split(sent)


TEXTS = st.text(max_size=12) | st.sampled_from(
    ["a longer text, as people write them: " * 9, "\ud83d", "\u2028\x00\U0010ffff", '"}],"finish_reason":"stop"}']
)
MESSAGES = st.builds(message, TEXTS, st.sampled_from(["user", "assistant", "tool"])) | st.sampled_from(
    [
        '{"role":"user","parts":[{"type":"x","n":1e400,"m":12345678901234567890123,"m":1.0}]}',  # doubled, out of range
        '{ "role" : "user",\n "parts" : [ ] }',
        Reference(span(1), 1).as_message().decode(),  # typed by somebody who knows how
        '"no object"',
    ]
)


@st.composite
def conversations(draw: st.DrawFn) -> list[Call]:
    """Calls of two conversations in turns: each goes on from any before it, cut, edited or as it was."""
    calls: list[Call] = []
    pasts: list[list[str]] = [[]]
    for number in range(1, draw(st.integers(1, 9)) + 1):
        messages = list(draw(st.sampled_from(pasts)))
        if messages and draw(st.booleans()):
            place = draw(st.integers(0, len(messages) - 1))
            messages[place : place + draw(st.integers(0, 2))] = draw(st.lists(MESSAGES, max_size=2))
        messages += draw(st.lists(MESSAGES, max_size=3))
        said = draw(TEXTS)
        output = draw(st.sampled_from([None, answer(said), "[]", "no JSON", f"[{message(said)},{message('or')}]"]))
        separator = draw(st.sampled_from([",", ", "]))
        tools = draw(st.none() | st.sampled_from(["[]", '[{"type":"function","name":"f"}]' * 9]))
        conversation = draw(st.sampled_from("ab"))
        calls.append(Call(number, conversation, f"[{separator.join(messages)}]", output, tools))
        pasts += [messages, [*messages, message(said, "assistant")]]
    return calls


@settings(max_examples=150, deadline=None)
@given(calls=conversations(), remembered=st.integers(1, 40), seed=st.randoms(use_true_random=False))
def test_whatever_is_shortened_is_restored_as_it_was(calls: list[Call], remembered: int, seed: random.Random) -> None:
    records = shortened(calls, remembered)
    order = list(records)
    seed.shuffle(order)
    restorer = restorer_of(order)
    for call, record in zip(calls, records, strict=True):
        assert is_same(whole(record, restorer), call.input)
        if record.replaced:
            assert restorer.value(record, TOOLS) == call.tools


@settings(max_examples=150, deadline=None)
@given(calls=conversations(), remembered=st.integers(1, 40), data=st.data())
def test_spans_that_are_sent_again_or_lost_never_bring_back_something_else(
    calls: list[Call], remembered: int, data: st.DataObject
) -> None:
    sent = [*calls, *data.draw(st.lists(st.sampled_from(calls), max_size=4))]
    records = shortened(sent, remembered)
    kept = data.draw(st.lists(st.sampled_from(records), unique_by=id))
    restorer = restorer_of(kept)
    for call, record in zip(sent, records, strict=True):
        try:
            restored = whole(record, restorer)
        except MissingError:
            continue
        assert is_same(restored, call.input)


@pytest.mark.parametrize(
    ("output", "sent_back"),
    [
        (b'{"role":"a","parts":[],"finish_reason":"stop"}', b'{"role":"a","parts":[]}'),
        (b'{"role":"a","parts":[],"finish_reason":"stop","name":null}', b'{"role":"a","parts":[],"name":null}'),
        (b'{"role":"a","finish_reason":null,"name":"\\"b"}', b'{"role":"a","name":"\\"b"}'),
        (b'{"role":"a","x":{"y":1,"finish_reason":"stop"}}', b'{"role":"a","x":{"y":1,"finish_reason":"stop"}}'),
        (b'{"role":",\\"finish_reason\\":null"}', b'{"role":",\\"finish_reason\\":null"}'),
    ],
)
def test_an_answer_is_sent_back_without_its_finish_reason(output: bytes, sent_back: bytes) -> None:
    assert as_input([output]) == [sent_back]
    assert as_input([output, output]) == []


def turns(count: int, size: int = 200) -> list[Call]:
    """A conversation in which each call sends back all that was said."""
    said: list[str] = []
    calls = []
    for number in range(1, count + 1):
        said.append(message(f"question {number} " + "x" * size))
        calls.append(Call(number, "a", f"[{','.join(said)}]", answer(f"answer {number} " + "y" * size)))
        said.append(message(f"answer {number} " + "y" * size, "assistant"))
    return calls


def test_a_turn_holds_one_reference_and_what_is_new() -> None:
    first, second, third = shortened(turns(3))
    assert first.is_whole
    for record, before, replaced in ((second, first, 2), (third, second, 4)):
        pieces = split(record.input or "") or []
        assert [piece.decode() for piece in pieces[1:]] == [message(f"question {replaced // 2 + 1} " + "x" * 200)]
        assert pieces[0] == Reference(before.span, replaced).as_message()


def test_a_span_sent_again_comes_out_as_before_and_never_refers_to_itself() -> None:
    calls = turns(3)
    records = shortened([*calls, *calls])
    assert records[3:] == records[:3]


def test_conversations_do_not_refer_to_each_other() -> None:
    (call,) = turns(1)
    other = replace(call, number=2, conversation="b")
    assert all(record.is_whole for record in shortened([call, other]))


def test_a_message_that_looks_like_a_reference_is_what_somebody_typed() -> None:
    forged = f"[{Reference(span(7), 3).as_message().decode()}]"
    (record,) = shortened([Call(1, "a", forged)])
    assert record.is_whole
    later = f"[{forged[1:-1]},{message('z' * 300)},{message('and')}]"
    records = shortened([Call(1, "a", f"[{forged[1:-1]},{message('z' * 300)}]"), Call(2, "a", later)])
    assert records[1].is_input_short
    assert split(whole(records[1], restorer_of(records))) == split(later)


def test_what_is_shorter_than_a_reference_is_told_again() -> None:
    short = [Call(1, "a", f"[{message('hi')}]"), Call(2, "a", f"[{message('hi')},{message('ho')}]")]
    assert all(record.is_whole for record in shortened(short))


def test_a_lost_span_is_named_and_so_is_one_of_which_there_are_two() -> None:
    records = shortened(turns(4))
    with pytest.raises(MissingError, match=r"span 0{32}/0{15}2 is not in the recording"):
        restorer_of([records[0], *records[2:]]).input(records[3])
    other = replace(records[0], input=f"[{message('another')}]")
    with pytest.raises(MissingError, match="more than once"):
        restorer_of([*records, other]).input(records[3])


def test_a_span_that_was_cut_on_its_way_does_not_pass_for_what_it_was() -> None:
    first, second = shortened(turns(2))
    with pytest.raises(MissingError, match="was cut"):
        restorer_of([replace(first, is_cut=True), second]).input(second)


def test_references_that_lead_in_a_circle_or_nowhere_are_missing() -> None:
    def short(number: int, to: int, messages: int) -> Record:
        text = join([Reference(span(to), messages).as_message(), b'{"role":"user"}'])
        return Record(span(number), text, None, is_input_short=True)

    circle = [short(1, 2, 3), short(2, 1, 3)]
    with pytest.raises(MissingError, match="refers to itself"):
        restorer_of(circle).input(circle[0])
    few = [Record(span(1), "[1]", None), short(2, 1, 9)]
    with pytest.raises(MissingError, match="fewer messages"):
        restorer_of(few).input(few[1])
    with pytest.raises(MissingError, match="does not begin with a reference"):
        restorer_of([]).input(Record(span(1), '["[CREDIT_CARD]"]', None, is_input_short=True))


def test_what_is_no_list_of_messages_stays_whole() -> None:
    memory: Recent[bytes, bytes] = Recent(10)
    for text in ("", "no JSON", "[", "{}", "[]", "\ud83d", "[" * 100_000, '"text"'):
        for number in (1, 2):
            assert shorten_messages(Conversation.of("a"), span(number), text, text, memory) is None
