"""What is personal data, and what only looks like it."""

from __future__ import annotations

import pytest

from otel_llm.policy.detectors import ALL_TYPES, DetectorSet, built_in

ALL = DetectorSet(built_in(ALL_TYPES))

# One valid number of each type, made up (check digits worked out by hand or taken from the authority's own example).
FOUND = {
    "EMAIL_ADDRESS": [
        "write to jane.doe+tag@mail.example.co.uk, please",
        "<a_b@example.io>",
        "jane@empresa.com.py",
        "jürgen@münchen.de",
    ],
    "PHONE_NUMBER": [
        "+41 44 668 18 00",
        "call me at 0494 92 82 32",
        "(212) 555-0143 is mine",
        "Phone: 345-899-3560x4587",
        "tel. 01.84.17.61.18",
        "00 44 20 7946 0958",
        "my mobile is 699 956 915",
        "phone=0496464670&x=1",
    ],
    "CREDIT_CARD": [
        "4111 1111 1111 1111",
        "5500-0000-0000-0004",
        "378282246310005",
        "3782 822463 10005",
        "6011000990139424",
        "30569309025904",
        "card 4111111111111111 12/27 123",
        "card no.4111 1111 1111 1111",
        "order-4111111111111111",
    ],
    "IBAN_CODE": ["DE89 3704 0044 0532 0130 00 please", "GB82WEST12345698765432", "fr1420041010050500013m02606"],
    "IP_ADDRESS": [
        "from 85.214.132.117",
        "client_ip=85.214.132.117",
        "db.example.com/85.214.132.117:5432",
        "root@85.214.132.117",
        "2a02:8109:9440:1198:bdf2::1 connected",
    ],
    "US_SSN": ["536-90-4399", "social security number 536904399"],
    "US_ITIN": ["900-70-1234"],
    "UK_NHS": ["NHS 943 476 5919"],
    "UK_NINO": ["QQ123456C is none, AB 12 34 56 C is"],
    "DE_TAX_ID": ["Steuer-ID 86095742719"],
    "FR_NIR": ["1 85 05 78 006 084 91", "185057800608491"],
    "ES_DNI": ["12345678Z", "X1234567L"],
    "IT_FISCAL_CODE": ["RSSMRA85T10A562S"],
    "PL_PESEL": ["PESEL: 44051401359"],
    "SE_PERSONNUMMER": ["811218-9876"],
    "FI_HETU": ["131052-308T"],
    "NL_BSN": ["BSN 111222333"],
    "BE_NATIONAL_NUMBER": ["85.07.30-033.28"],
    "BR_CPF": ["529.982.247-25"],
    "IN_AADHAAR": ["2345 6789 0124"],
    "IN_PAN": ["PAN ABCPE1234F"],
    "CA_SIN": ["SIN 130 692 544", "social insurance number 130692544"],
    "AU_TFN": ["TFN 123 456 782"],
    "CH_AHV": ["756.9217.0769.85"],
    "CN_ID": ["11010519491231002X"],
    "KR_RRN": ["900101-1234568"],
    "DK_CPR": ["CPR 211062-5629"],
    "NO_FNR": ["fødselsnummer 01010750160"],
    "ZA_ID": ["South African ID number 8001015009087"],
    "SG_NRIC": ["S1234567D"],
}
CASES = [(type_, text) for type_, texts in FOUND.items() for text in texts]

CLEAN = [
    "2026-11-25 12:52:31.123456 took 1795003200000000000 ns",
    "550e8400-e29b-41d4-a716-446655440000",
    "trace 4bf92f3577b34da6a3ce929d0e0e4736 span 00f067aa0ba902b7",
    "chrome/115.0.5790.170 build 10.0.19045.3324 lib==1.2.3.4",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "package@1.2.3 and image@sha256:abc and logo@2x.png",
    "git@github.com:org/repo.git",
    "127.0.0.1:8080 10.1.2.3 192.168.1.1 0.0.0.0 ::1 fe80::1",
    "4111 1111 1111 1112",
    "DE89370400440532013001",
    "000-12-3456 and 666-12-3456 and 123-00-4567",
    "0.4111111111111111 and -4111.1111 1111",
    "order 123456789 of 987654321",
    "std::vector<a::b> x = y::z; 12:30:45",
    "22::555 and 25:: and 3:: and arn:aws:s3:::bucket-10",
    "page 12 of 345, 1,234,567 rows, 99.99 %",
    "$ 4.50 or 20 000 000 euros in 2024 2025 2026",
    "call it with 3 arguments of 10 bytes",
    "the number 42 and the year 1984",
]


@pytest.mark.parametrize(("type_", "text"), CASES, ids=lambda value: str(value)[:30])
def test_personal_data_is_found_as_what_it_is(type_: str, text: str) -> None:
    assert type_ in {one.type for one in ALL.find(text)}


@pytest.mark.parametrize("text", CLEAN)
def test_what_only_looks_like_it_is_not_found(text: str) -> None:
    assert [(one.type, text[one.start : one.end]) for one in ALL.find(text)] == []


@pytest.mark.parametrize(("type_", "text"), CASES, ids=lambda value: str(value)[:30])
def test_one_wrong_digit_makes_a_number_none(type_: str, text: str) -> None:
    """Where there are check digits: any other last digit is not right."""
    checked = {"CREDIT_CARD", "IBAN_CODE", "UK_NHS", "DE_TAX_ID", "FR_NIR", "PL_PESEL", "NL_BSN", "BR_CPF", "CH_AHV"}
    if type_ not in checked:
        pytest.skip("has no check digits, or letters for them")
    (place,) = (one for one in ALL.find(text) if one.type == type_)
    last = text[place.end - 1]
    wrong = text[: place.end - 1] + ("5" if last != "5" else "6") + text[place.end :]
    assert type_ not in {one.type for one in ALL.find(wrong)}


def test_at_least_ten_countries_have_their_numbers() -> None:
    assert len({type_.partition("_")[0] for type_ in FOUND if type_[2] == "_"}) >= 20


@pytest.mark.parametrize("joined", [*"/&=?#|,;:'\"` *{}<>()", "/cards#", "&to="])
@pytest.mark.parametrize("second", ["bob@corp.example.net", "+44 20 7946 0958"])
def test_what_stands_in_one_address_with_an_address_of_mail_is_found_too(joined: str, second: str) -> None:
    """Most marks are legal in the local part of an address; it does not reach into what stands before."""
    text = f"/users/ann@mail.example.org{joined}{second}"
    found = [(one.type, one.end) for one in ALL.find(text) if one.type in {"EMAIL_ADDRESS", "PHONE_NUMBER"}]
    expected = "EMAIL_ADDRESS" if "@" in second else "PHONE_NUMBER"
    assert found == [("EMAIL_ADDRESS", 27), (expected, len(text))]


def test_two_numbers_side_by_side_are_two() -> None:
    text = "4111 1111 1111 1111 5500 0000 0000 0004"
    found = [text[one.start : one.end] for one in ALL.find(text) if one.type == "CREDIT_CARD"]
    assert found == [text[:19], text[20:]]
