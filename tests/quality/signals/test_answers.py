"""Signals of an answer's text: each raised on what it is for, and not on what only looks like it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.quality.signals import completeness, friction, language, leakage, refusal, repetition, retrieval, support

SENTENCE = "The river rises in the hills to the north, passes three mills and a bridge, and meets the sea at Aldmouth. "


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("I'm sorry, but I can't assist with that.", "refused"),
        ("I\u2019m sorry, but I can\u2019t help with that request.", "refused"),
        ("It is not appropriate to share the address of a private person.", "refused"),
        ("Sorry for the confusion! The invoice total is 42 EUR.", "answered"),
        ("Penguins cannot fly, and ostriches are unable to answer letters.", "answered"),
        ("I cannot answer without more details. Could you please share the order number?", "clarified"),
        ("As an AI, I cannot give legal advice. However, here is how such contracts work. " + SENTENCE * 5, "hedged"),
        ("The capital of France is Paris.", "answered"),
        ("", "answered"),
    ],
)
def test_a_refusal_is_told_from_an_answer_a_hedge_and_a_question(answer: str, kind: str) -> None:
    assert refusal.classify(answer) == kind


def test_a_loop_is_found_at_the_end_and_in_the_middle() -> None:
    intro = SENTENCE + "Take the following steps one after the other and write down every number that you see. "
    assert repetition.is_repetitive(intro + "and then again we go " * 20)
    assert repetition.is_repetitive(intro + "and then again we go home to eat " * 20 + intro)
    assert repetition.is_repetitive(intro + "".join(f"\n{n}. check the oil and the water level" for n in range(12)))
    assert repetition.is_repetitive("x" * 100_000 + "and then again we go home " * 1000)


def test_prose_a_table_and_a_rule_are_no_loops() -> None:
    table = "\n".join(f"| {n} | {n * n} | {'even' if n % 2 == 0 else 'odd'} | row {n:03} |" for n in range(40))
    assert not repetition.is_repetitive(table)
    assert not repetition.is_repetitive(" ".join(f"word{n} follows {n * 7919 % 104729}" for n in range(200)))
    assert not repetition.is_repetitive("Title\n" + "-" * 500)
    assert not repetition.is_repetitive("ha " * 20)


def test_truncation_is_what_the_finish_reason_says_and_unknown_without_one() -> None:
    assert completeness.is_truncated(["length"]) is True
    assert completeness.is_truncated(["stop"]) is False
    assert completeness.is_truncated([]) is None


@pytest.mark.parametrize(
    "answer",
    [
        "Natürlich, das ist nicht schwer: zuerst werden die Daten mit der Karte geladen.",
        "これは日本語の文章です。とても簡単です。",
        "Это очень просто, попробуйте ещё раз.",
    ],
)
def test_another_language_than_the_question_is_a_mismatch(answer: str) -> None:
    question = "How do I load the data of the map into the editor?"
    assert language.is_mismatch(question, answer)
    assert not language.is_mismatch(answer, answer)
    assert not language.is_mismatch(
        question + " Please answer in German, Japanese or Russian: in German is best.", answer
    )


@pytest.mark.parametrize("answer", ["42", "", "🎉🎉🎉", "def f(x): return x", "{}" * 100])
def test_what_is_of_no_language_is_not_told(answer: str) -> None:
    assert language.is_mismatch("How do I load the data of the map into the editor?", answer) is None


def test_a_passage_of_the_instructions_is_a_leak_and_common_words_are_not() -> None:
    instructions = "".join(f"Rule {n}: never tell customers about discount code {n * 7919}. " for n in range(40))
    pieces = leakage.pieces_of(instructions)
    assert leakage.is_leak("Sure, here it is: " + instructions[300:500] + " Anything else?", pieces)
    assert not leakage.is_leak("There are rules about discount codes which I never tell customers. " * 10, pieces)
    assert leakage.pieces_of("You are a helpful assistant.") == frozenset()
    assert not leakage.is_leak("You are a helpful assistant.", leakage.pieces_of("You are a helpful assistant."))


def test_support_is_the_share_of_words_and_unknown_without_enough_of_them() -> None:
    documents = support.Documents.of(["The mill at Aldmouth was built in 1732.", "Bridges cost money."])
    assert support.lexical_support("Aldmouth mill, built 1732", documents.all_words) == 1
    assert support.lexical_support("Completely different words here", documents.all_words) == 0
    assert support.lexical_support("Yes.", documents.all_words) is None
    assert support.query_coverage("When was the Aldmouth mill built?", documents) == 1
    assert support.query_coverage("How do I do that?", documents) is None
    assert support.query_coverage("mill", support.Documents.of([])) is None


def test_dates_of_documents_are_read_in_the_forms_they_come_in() -> None:
    second = 1_700_000_000
    for value in ("2023-11-14T22:13:20Z", second, second * 1000, second * 10**9, "2023-11-14T22:13:20"):
        assert retrieval.newest_unix_nano([{"updated_at": value}]) == second * 10**9, value
    for value in ("soon", 2023, True, None, "9999-99-99", {"year": 1}, float("inf"), float("nan")):
        assert retrieval.newest_unix_nano([{"updated_at": value}]) is None, value


def test_a_citation_is_a_form_and_a_numbered_list_is_none() -> None:
    assert retrieval.has_citation("Built in 1732 [1].")
    assert retrieval.has_citation("Built in 1732 【4†source】.")
    assert retrieval.has_citation("See https://example.com/mill.")
    assert not retrieval.has_citation("1. Built in 1732\n2. Burnt in 1790")
    assert retrieval.wants_citations("Answer briefly and cite the documents.")
    assert not retrieval.wants_citations("Answer briefly.")


def test_friction_is_heard_in_complaints_and_not_in_plain_questions() -> None:
    assert friction.is_friction("No, that's not what I asked for!")
    assert friction.is_friction("I already told you my order number")
    assert friction.is_friction("let me speak to a human")
    assert not friction.is_friction("What is wrong with the economy of Rome in 200 AD?")
    assert not friction.is_friction("Show me the list again, please, sorted by date.")


@given(st.text(max_size=3000), st.text(max_size=600))
def test_no_text_breaks_any_of_them(answer: str, question: str) -> None:
    assert refusal.classify(answer) in ("answered", "hedged", "clarified", "refused")
    repetition.is_repetitive(answer)
    language.is_mismatch(question, answer)
    leakage.is_leak(answer, leakage.pieces_of(question * 3))
    retrieval.has_citation(answer)
    friction.is_friction(question)
    share = support.lexical_support(answer, support.Documents.of([question]).all_words)
    assert share is None or 0 <= share <= 1
