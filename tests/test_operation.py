from __future__ import annotations

from otel_llm.codecs.protobuf import AttributeEncoder
from otel_llm.dialects.log_events import are_understood
from tests.spans import chat, operation


def test_renaming_a_key_to_itself_or_one_that_is_not_there_changes_nothing() -> None:
    one = operation(chat())
    one.rename("gen_ai.request.model", "gen_ai.request.model")
    one.rename("nobody", "gen_ai.request.model")
    assert one.request_model == "gpt-4o"
    assert not one.is_changed


def test_a_renamed_attribute_can_be_renamed_again_and_set_after_removal() -> None:
    one = operation(chat(first="x"))
    one.rename("first", "second")
    one.rename("second", "third")
    assert (one.get("first"), one.get("second"), one.get("third")) == (None, None, "x")
    one.remove("third")
    one.set("third", "y")
    assert one.changes.set == {"third": "y"}
    assert one.changes.removed == {"first"}


def test_an_encoder_does_not_remember_long_keys() -> None:
    encoder = AttributeEncoder(74)
    for number in range(10):
        encoder.encode(f"{number}" * 1000, 1.5)
        encoder.encode(f"{number}" * 1000, "x")
        encoder.encode(f"{number}" * 1000, 1)
    assert not encoder.doubles
    assert not encoder.texts
    assert not encoder._keys


def test_message_events_with_something_nobody_understands_are_left_as_they_are() -> None:
    assert are_understood([("gen_ai.user.message", {}, {"content": "hi"}), ("gen_ai.choice", {}, {"index": 0})])
    assert are_understood([("gen_ai.user.message", {}, None)])
    assert not are_understood([("gen_ai.user.message", {}, {"content": "hi"}), ("gen_ai.choice", {}, {"foo": "bar"})])


def test_the_keys_of_a_changed_operation_are_a_key_themselves() -> None:
    """Found by fuzzing: a span that was mended could not be normalised."""
    one = operation(chat(first="x"))
    one.set("second", "y")
    assert hash(one.keys()) == hash(frozenset({*chat(), "first", "second"}))
