"""Values of every type without what is found in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm.policy.detectors import CallableDetector, DetectorSet, built_in
from otel_llm.policy.detectors.credential_names import credential_kind
from otel_llm.policy.findings import Finding
from otel_llm.policy.redaction import DROPPED, KeyProblem, Redactor, Tally, operator, reveal
from otel_llm.policy.redaction.json_text import is_json, rewrite_json
from otel_llm.policy.redaction.redactor import Value, without_overlaps

KEY = b"0123456789abcdef"
DETECTORS = DetectorSet(built_in())
REDACTOR = Redactor(DETECTORS)
MAIL = "jane.doe@example.com"
CARD = "4111 1111 1111 1111"


def redacted(value: Value, name: str | None = None, redactor: Redactor = REDACTOR) -> object:
    return redactor.value(value, name, Tally())


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (f"I am {MAIL}.", "I am [EMAIL_ADDRESS]."),
        (["a", MAIL, 3], ("a", "[EMAIL_ADDRESS]", 3)),
        ({"k": {MAIL: [MAIL]}}, {"k": {"[EMAIL_ADDRESS]": ("[EMAIL_ADDRESS]",)}}),
        (4111111111111111, "[CREDIT_CARD]"),
        (4111111111111111.0, "[CREDIT_CARD]"),
        (MAIL.encode() + b"\xff", b"[EMAIL_ADDRESS]\xff"),
        (True, True),
        (None, None),
        (3.25, 3.25),
        (1795003200000000000, 1795003200000000000),
        (float("nan"), None),
        ("", ""),
    ],
)
def test_values_of_every_type_are_redacted(value: Value, result: object) -> None:
    new = redacted(value)
    assert new == result or (result is None and new is value)


def test_two_keys_with_the_same_marker_both_stay() -> None:
    assert redacted({MAIL: 1, "john@example.com": 2}) == {"[EMAIL_ADDRESS]": 1, "[EMAIL_ADDRESS]_2": 2}


def test_what_stays_is_the_same_object() -> None:
    text = "nothing to see here, " * 10
    assert REDACTOR.text(text, None, Tally()) is text
    document = json.dumps({"a": [1, 2, {"b": "nothing"}]})
    assert REDACTOR.text(document, None, Tally()) is document


@pytest.mark.parametrize(
    "name",
    ["password", "db.password", "llm.request.api_key", "Authorization", "x-api-key", "apiKey", "client secret",
     "client.secret", "passwd", "access_token", "OPENAI_API_KEY", "stripeApiKey", "PGPASSWORD", "passwordConfirm",
     "password2", "http.request.header.cookie", "http.request.header.authorization.0", "setcookie", "idtoken",
     "hftoken", "githubtoken", "masterkey", "signingkey", "encryptionkey", "connectionstring", "ocpapimsubscriptionkey",
     "xamzsecuritytoken", "proxyauthorization"],
)  # fmt: skip
def test_what_stands_under_the_name_of_a_credential_is_one(name: str) -> None:
    assert redacted("tulip", name) == "[CREDENTIAL]"
    assert redacted(["tulip"], name) == ("[CREDENTIAL]",)
    assert redacted({name: {"value": "tulip"}}) == {name: {"value": "[CREDENTIAL]"}}
    assert redacted(12345678, name) == redacted(-1.5, name) == "[CREDENTIAL]"
    for value in ("12345678", "-1.5e-7", "7", '["tulip", [7, -0.5]]', '{"value": 7}'):
        left = re.sub(r'"tulip"|-?\d[-.e\d]*', '"[CREDENTIAL]"', value)
        assert redacted(f'{{"{name}": {value}, "n": 1}}') == f'{{"{name}": {left}, "n": 1}}'
    assert redacted({name: True, "n": None}) == {name: True, "n": None}


def test_letters_that_only_look_like_a_name_are_the_name() -> None:
    assert redacted("tulip", "p\u0430ssword") == "[CREDENTIAL]"


@pytest.mark.parametrize(
    "name",
    ["gen_ai.usage.input_tokens", "token", "keyword", "password_policy", "secretary", "max_tokens", "token_count",
     "tokenizer", "author", "api_key_id", "public_key", "page_token", "next_page_token", "token_type", "spin"],
)  # fmt: skip
def test_other_names_hide_nothing(name: str) -> None:
    for value in ("tulip", 1234, 0.5):
        assert redacted(value, name) == value
        assert redacted(json.dumps({name: value})) == json.dumps({name: value})


def test_a_pin_has_digits_and_a_token_alone_has_no_form_of_a_word() -> None:
    assert redacted({"pin": 1234, "PIN": "0042", "otp": "123456"}) == dict.fromkeys(
        ("pin", "PIN", "otp"), "[CREDENTIAL]"
    )
    assert redacted({"pin": "lapel", "token": " the", "pin_count": 4}) == {
        "pin": "lapel",
        "token": " the",
        "pin_count": 4,
    }
    assert redacted('{"token": "a8Fk29xLqP03mZ7t", "pin": 1234}') == '{"token": "[CREDENTIAL]", "pin": "[CREDENTIAL]"}'


@pytest.mark.parametrize(
    "pair",
    [
        {"name": "password", "value": "tulip"},
        {"value": "tulip", "name": "password"},
        {"key": "api_key", "in": "query", "value": "tulip"},
        {"Name": "DB_PASSWORD", "Value": "tulip"},
        {"name": "Authorization", "value": ["tulip", "tulip"]},
        {"key": "password", "value": {"stringValue": "tulip"}},
        {"type": "password", "value": {"arrayValue": {"values": [{"stringValue": "tulip"}]}}},
    ],
)
def test_a_value_beside_the_name_of_a_credential_is_one(pair: Any) -> None:
    others = {"name": "user", "value": "tulip"}
    wanted = json.dumps([pair, others]).replace("tulip", "[CREDENTIAL]", str(pair).count("tulip"))
    assert redacted(json.dumps([pair, others])) == wanted
    assert json.loads(json.dumps(redacted([pair, others]))) == json.loads(wanted)
    numbers = json.loads(json.dumps(pair).replace('"tulip"', "1234"))
    assert "1234" not in str(redacted(json.dumps(numbers)))
    assert "1234" not in str(redacted(numbers))


def test_a_marker_of_redaction_names_nothing() -> None:
    for pair in ({"name": "[CREDENTIAL]", "value": 7}, {"id": '{"pwd": "[CREDENTIAL]"}', "value": 7}):
        assert redacted(pair) == pair
        assert redacted(json.dumps(pair)) == json.dumps(pair)


@pytest.mark.parametrize(
    "document",
    [
        '{"a": NaN, "password": "tulip"}',
        '[Infinity, -Infinity, {"password": "tulip"}]',
        '{"m": "\\ud800 x", "password": "tulip"}',
        '{"m": 1, "password": "\\udfff tulip"}',
        '{"password": "tulip", "password": "tulip"}',
        '{"password": "tu\x00lip"}',
        '{"text": "two\nlines", "password": "tulip"}',
        '{"pass\\u0077ord": "tulip"}',
        '{"n": ' + "7" * 5000 + ', "password": "tulip"}',
        '{"a": ' * 100 + '{"password": "tulip"}' + "}" * 100,
        "[" * 100_000 + '{"password": "tulip"}' + "]" * 100_000,
    ],
)
def test_json_that_only_lenient_parsers_read_is_redacted_or_dropped(document: str) -> None:
    new = redacted(document)
    assert new is DROPPED or ("tu" not in str(new) and "CREDENTIAL" in str(new))


@pytest.mark.parametrize("text", ["[CREDENTIAL]", "[CREDENTIAL:abcp]", "[CREDENTIAL:***xyz]"])
def test_a_marker_of_a_credential_is_not_replaced_again_and_nothing_else_passes_for_one(text: str) -> None:
    assert redacted(text, "password") == text
    assert redacted("[CREDENTIAL:tulip]", "password") == "[CREDENTIAL]"
    assert redacted("[tulip]", "password") == "[CREDENTIAL]"
    assert redacted("x", "password") == "[CREDENTIAL]"


def test_a_name_may_tell_what_a_short_value_is() -> None:
    assert redacted("0496464670", "user.phone_number") == "[PHONE_NUMBER]"
    assert redacted("0496464670", "order.number") == "0496464670"
    assert redacted('{"phone": "0496464670"}') == '{"phone": "[PHONE_NUMBER]"}'


def test_a_detector_that_fails_costs_the_value_and_is_counted() -> None:
    def fail(text: str) -> list[tuple[str, int, int]]:
        if "poison" in text:
            raise ValueError(text)
        return []

    redactor = Redactor(DetectorSet([CallableDetector("own", ["X"], fail)]))
    tally = Tally()
    assert redactor.text("some poison", None, tally) is DROPPED
    assert redactor.value({"a": "fine one", "b": "poison"}, None, tally) == {"a": "fine one"}
    assert redactor.value(["poison", "fine one"], None, tally) == ("fine one",)
    assert redactor.value(json.dumps({"a": "poison", "b": 1}), None, tally) is DROPPED
    assert tally.failed == {"own": 4}


def test_what_is_nested_too_deep_to_be_looked_at_is_dropped() -> None:
    deep: Value = MAIL
    for _ in range(200):
        deep = [deep]
    tally = Tally()
    assert MAIL not in str(REDACTOR.value(deep, None, tally))
    assert tally.failed == {"depth": 1}
    document = MAIL
    for _ in range(12):
        document = json.dumps([document])
    tally = Tally()
    assert REDACTOR.text(document, None, tally) is DROPPED
    assert tally.failed == {"depth": 1}


FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | FINITE | st.text(max_size=20)
    | st.sampled_from([MAIL, f"call {MAIL} now", CARD, 4111111111111111, "\\u0040", '"', "\\"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.just(MAIL), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def shape(value: Any) -> Any:
    """A document without its strings and large numbers, and the names of its keys."""
    if isinstance(value, dict):
        return [shape(item) for item in value.values()]
    if isinstance(value, list):
        return [shape(item) for item in value]
    return "text" if isinstance(value, str) or (isinstance(value, int) and abs(value) >= 10**8) else value


def strings(value: Any) -> Iterator[str]:
    """All texts of a document, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


@settings(max_examples=300, deadline=None)
@given(document=JSON, ascii_only=st.booleans(), indent=st.sampled_from([None, 2]))
def test_24_json_stays_json_of_the_same_shape(document: Any, *, ascii_only: bool, indent: int | None) -> None:
    """Given any JSON with personal data anywhere in it, then what is left is JSON of the same shape without it."""
    text = json.dumps({"document": document}, ensure_ascii=ascii_only, indent=indent)
    new = redacted(text)
    assert isinstance(new, str)
    left = json.loads(new)
    if not any(map(credential_kind, strings(document))):  # numbers that belong to such a name become text
        assert shape(left) == shape(json.loads(text))
    assert MAIL not in json.dumps(left)


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_a_second_pass_changes_nothing(document: Any) -> None:
    for name in ("mask", "hash", "tokenize", "truncate", "remove"):
        redactor = Redactor(DETECTORS, operator=operator(name, KEY))  # type: ignore[arg-type] # its name
        once = redacted({"v": json.dumps(document), "w": document if isinstance(document, str) else ""}, None, redactor)
        assert redacted(once, None, redactor) == once  # type: ignore[arg-type] # a value


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_json_that_nobody_rewrites_stays_byte_for_byte(document: Any) -> None:
    text = json.dumps(document, indent=1)
    assert rewrite_json(text, lambda inner, _: inner) is text


def test_numbers_that_no_parser_keeps_stay_as_they_were() -> None:
    text = '{"a": 1.10, "b": 123456789012345678901234567890, "c": 1E+2, "a": "' + MAIL + '"}'
    assert redacted(text) == text.replace(MAIL, "[EMAIL_ADDRESS]")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='{}[]":,\\ au1n0\n', max_size=40))
def test_what_is_json_is_decided_as_a_parser_decides(text: str) -> None:
    try:
        json.loads(text, strict=False)
        parses = text.strip()[:1] in ("{", "[", '"')
    except ValueError:
        parses = False
    assert is_json(text) == parses


@pytest.mark.parametrize("name", ["mask", "hash", "tokenize", "truncate", "remove"])
@pytest.mark.parametrize("secret", [MAIL, CARD, "ghp_aB3xY9Zk0mNpR5tUvW8sLhJf2cGdE4Qz7Qz7"])
def test_24_a_marker_holds_nothing_of_what_it_replaced(name: Any, secret: str) -> None:
    """Given any operator, then no four characters in a row of what was found are in what is left of it."""
    new = redacted(secret, None, Redactor(DETECTORS, operator=operator(name, KEY)))
    assert isinstance(new, str)
    kind, _, rest = new.strip("[]").partition(":")
    assert not any(secret[index : index + 4] in rest for index in range(len(secret) - 3))
    assert kind.partition("~")[0] in ("EMAIL_ADDRESS", "CREDIT_CARD", "GITHUB_TOKEN", "")


def test_a_hash_is_the_same_for_the_same_value_and_key_only() -> None:
    one, other = operator("hash", KEY), operator("hash", KEY[::-1])
    assert one("A", "x") == one("A", "x")
    assert len({one("A", "x"), one("A", "y"), one("B", "x"), other("A", "x")}) == 4


def test_a_token_is_brought_back_by_its_key_only() -> None:
    redactor = Redactor(DETECTORS, operator=operator("tokenize", KEY))
    text = f"write to {MAIL} or pay with {CARD}"
    new = redacted(text, None, redactor)
    assert isinstance(new, str)
    assert MAIL not in new
    assert reveal(new, KEY) == text
    assert reveal(new, KEY[::-1]) == new
    assert reveal("[EMAIL_ADDRESS~aaaa] [X~abc] [Y]", KEY) == "[EMAIL_ADDRESS~aaaa] [X~abc] [Y]"


@pytest.mark.parametrize("name", ["hash", "tokenize"])
@pytest.mark.parametrize("key", [None, b"short"])
def test_an_operator_without_its_key_is_refused(name: Any, key: bytes | None) -> None:
    with pytest.raises(KeyProblem):
        operator(name, key)


def test_findings_that_overlap_are_replaced_as_one_over_all_of_it() -> None:
    found = [Finding("A", 2, 6, "one", 0.5), Finding("B", 4, 12, "other", 0.9), Finding("C", 12, 14, "one", 0.5)]
    merged = [(one.type, one.start, one.end) for one in without_overlaps(found)]
    assert merged == [("B", 2, 12), ("C", 12, 14)]


def test_operators_are_chosen_by_type() -> None:
    operators: Mapping[str, Any] = {
        "EMAIL_ADDRESS": operator("remove", None),
        "CREDIT_CARD": operator("truncate", None),
    }
    assert redacted(f"{MAIL} {CARD}", None, Redactor(DETECTORS, operators)) == " [CREDIT_CARD:***111]"
