"""Numbers that states give to persons: how each is written, and how its check digits are worked out.

A number with separators or letters in their places and a right check digit is found wherever it stands. A bare run of
digits is found only near a word that names it: one number in ten or eleven has a right check digit by chance, and
texts are full of numbers.

Sources: the format descriptions of the issuing authorities, as collected in the European Commission's TIN portal and in
the OECD's "Tax Identification Numbers" sheets; SSA, "The SSN Numbering Scheme"; NHS Data Dictionary, "NHS NUMBER".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from otel_llm.policy.detectors.checksums import luhn, mod_11_2, mod_11_10, verhoeff, weighted

# Numbers that were printed in advertisements, and that SSA has withdrawn for that.
_ADVERTISED_SSN: Final = frozenset({"078051120", "219099999", "123456789"})


@dataclass(frozen=True, slots=True)
class NumberRule:
    """A number made of digits only, however they are grouped.

    Attributes:
        type: the type of finding.
        shapes: how it is written: 9 stands for a digit, everything else for itself.
        is_valid: whether these digits, without separators, can be one.
        context: words one of which must stand near a bare run of digits; in lower case.
    """

    type: str
    shapes: tuple[str, ...]
    is_valid: Callable[[str], bool]
    context: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LetteredRule:
    """A number with letters in it.

    Attributes:
        type: the type of finding.
        pattern: how it is written; the finding is the whole match. The look-behind stands after the first character: a
            pattern that begins with a set of characters is searched for faster.
        cue: the same without looking around, for engines that cannot.
        shapes: every match begins with one of these: 9 is any digit, A any capital letter.
        is_valid: whether this text, in upper case and without separators, can be one.
        context: words one of which must stand near; empty when its check is enough.
        keeps_separators: its check reads them, too.
    """

    type: str
    pattern: str
    cue: str
    shapes: tuple[str, ...]
    is_valid: Callable[[str], bool]
    context: tuple[str, ...] = ()
    keeps_separators: bool = False


def _is_date(day: int, month: int) -> bool:
    return 1 <= day <= 31 and 1 <= month <= 12


def us_ssn(digits: str) -> bool:
    """United States, social security number: ranges never given out are none."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return (
        area not in ("000", "666")
        and area < "900"
        and group != "00"
        and serial != "0000"
        and digits not in _ADVERTISED_SSN
    )


def us_itin(digits: str) -> bool:
    """United States, individual taxpayer number: 9xx, and a group of certain ranges."""
    group = int(digits[3:5])
    return digits[0] == "9" and (50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or 94 <= group <= 99)


def uk_nhs(digits: str) -> bool:
    """United Kingdom, NHS number: weights 10 to 2, mod 11."""
    check = 11 - weighted(digits, range(10, 1, -1)) % 11
    return len(set(digits)) > 1 and check % 11 == int(digits[9]) and check != 10


def de_tax_id(digits: str) -> bool:
    """Germany, tax identification number: mod 11-10, and one digit of the first ten twice or three times."""
    most = max(digits[:10].count(digit) for digit in set(digits[:10]))
    return digits[0] != "0" and most in (2, 3) and mod_11_10(digits)


def fr_nir(digits: str) -> bool:
    """France, social security number: sex, month, and 97 minus the rest."""
    number, key = int(digits[:13]), int(digits[13:])
    return digits[0] in "12" and (1 <= int(digits[3:5]) <= 12 or digits[3:5] >= "20") and 97 - number % 97 == key


def pl_pesel(digits: str) -> bool:
    """Poland, PESEL: a date whose month tells the century, weights 1 3 7 9."""
    month = int(digits[2:4]) % 20
    total = weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3))
    return _is_date(int(digits[4:6]), month) and (10 - total % 10) % 10 == int(digits[10])


def se_personnummer(digits: str) -> bool:
    """Sweden, personal identity number: a date (plus 60 days for a coordination number), and Luhn over ten digits."""
    ten = digits[-10:]
    day = int(ten[4:6])
    return _is_date(day - 60 if day > 60 else day, int(ten[2:4])) and luhn(ten)


def nl_bsn(digits: str) -> bool:
    """Netherlands, citizen service number: weights 9 to 2 and -1, mod 11."""
    return len(set(digits)) > 1 and weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def be_national(digits: str) -> bool:
    """Belgium, national number: 97 minus the rest, with a 2 before it for those born since 2000."""
    key = int(digits[9:])
    return int(digits[2:4]) % 20 <= 12 and key in (97 - int(digits[:9]) % 97, 97 - int("2" + digits[:9]) % 97)


def br_cpf(digits: str) -> bool:
    """Brazil, CPF: two check digits, mod 11."""
    if len(set(digits)) == 1:
        return False
    for size in (9, 10):
        check = weighted(digits, range(size + 1, 1, -1)) * 10 % 11 % 10
        if check != int(digits[size]):
            return False
    return True


def in_aadhaar(digits: str) -> bool:
    """India, Aadhaar: begins with 2 to 9, Verhoeff."""
    return digits[0] in "23456789" and verhoeff(digits)


def ca_sin(digits: str) -> bool:
    """Canada, social insurance number: Luhn, and a first digit that was given out."""
    return digits[0] not in "08" and luhn(digits)


def au_tfn(digits: str) -> bool:
    """Australia, tax file number: weights, mod 11."""
    return len(set(digits)) > 1 and weighted(digits, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def ch_ahv(digits: str) -> bool:
    """Switzerland, AHV number: begins with 756, EAN-13."""
    total = weighted(digits, (1, 3) * 6)
    return digits.startswith("756") and (10 - total % 10) % 10 == int(digits[12])


def kr_rrn(digits: str) -> bool:
    """Korea, resident registration number: a date, and weights mod 11 (numbers given out since 2020 have no check)."""
    check = (11 - weighted(digits, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10
    return _is_date(int(digits[4:6]), int(digits[2:4])) and digits[6] in "12345678" and check == int(digits[12])


def dk_cpr(digits: str) -> bool:
    """Denmark, CPR number: a date; its check digit has not been kept up since 2007."""
    return _is_date(int(digits[:2]), int(digits[2:4]))


def no_fnr(digits: str) -> bool:
    """Norway, birth number: a date and two check digits, mod 11."""
    first = (11 - weighted(digits, (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11) % 11
    second = (11 - weighted(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11) % 11
    return _is_date(int(digits[:2]) % 40, int(digits[2:4]) % 40) and f"{first}{second}" == digits[9:]


def za_id(digits: str) -> bool:
    """South Africa, identity number: a date, citizenship 0 to 2, Luhn."""
    return _is_date(int(digits[4:6]), int(digits[2:4])) and digits[10] in "012" and luhn(digits)


def cn_id(text: str) -> bool:
    """China, resident identity number: a date, and mod 11-2."""
    return _is_date(int(text[12:14]), int(text[10:12])) and text[6:8] in ("19", "20") and mod_11_2(text)


def es_dni(text: str) -> bool:
    """Spain, DNI and NIE: a letter of 23."""
    number = text[:-1].translate(str.maketrans("XYZ", "012"))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == text[-1]


_ODD_VALUES: Final = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)


def it_fiscal_code(text: str) -> bool:
    """Italy, fiscal code: values by place, mod 26."""
    total = 0
    for position, character in enumerate(text[:15]):
        value = ord(character) - (48 if character.isdigit() else 65)
        total += value if position % 2 else _ODD_VALUES[value]
    return chr(65 + total % 26) == text[15]


def fi_hetu(text: str) -> bool:
    """Finland, personal identity code: a date, and a character of 31."""
    number = int(text[:6] + text[7:10])
    return _is_date(int(text[:2]), int(text[2:4])) and "0123456789ABCDEFHJKLMNPRSTUVWXY"[number % 31] == text[10]


def uk_nino(text: str) -> bool:
    """United Kingdom, national insurance number: prefixes that are not given out are none."""
    return text[:2] not in {"BG", "GB", "NK", "KN", "TN", "NT", "ZZ"}


def sg_nric(text: str) -> bool:
    """Singapore, NRIC and FIN: weights, mod 11, a letter of two tables."""
    total = weighted(text[1:8], (2, 7, 6, 5, 4, 3, 2)) + (4 if text[0] in "TG" else 0)
    letters = "JZIHGFEDCBA" if text[0] in "ST" else "XWUTRQPNMLK"
    return letters[total % 11] == text[8]


def _always(text: str) -> bool:  # noqa: ARG001 - the shape and the context are the check
    return True


NUMBERS: Final = (
    NumberRule("US_SSN", ("999-99-9999", "999 99 9999"), us_ssn),
    NumberRule("US_SSN", ("999999999",), us_ssn, ("ssn", "social security")),
    NumberRule("US_ITIN", ("999-99-9999",), us_itin),
    NumberRule("UK_NHS", ("999 999 9999", "999-999-9999", "9999999999"), uk_nhs, ("nhs",)),
    NumberRule(
        "DE_TAX_ID", ("99 999 999 999", "99999999999"), de_tax_id, ("steuer", "idnr", "tax id", "tax-id", "tin")
    ),
    NumberRule("FR_NIR", ("9 99 99 99 999 999 99", "999999999999999"), fr_nir),
    NumberRule("PL_PESEL", ("99999999999",), pl_pesel, ("pesel",)),
    NumberRule("SE_PERSONNUMMER", ("999999-9999", "99999999-9999"), se_personnummer),
    NumberRule("SE_PERSONNUMMER", ("9999999999", "999999999999"), se_personnummer, ("personnummer",)),
    NumberRule("NL_BSN", ("999999999", "9999.99.999"), nl_bsn, ("bsn", "burgerservice", "sofi")),
    NumberRule("BE_NATIONAL_NUMBER", ("99.99.99-999.99",), be_national),
    NumberRule("BE_NATIONAL_NUMBER", ("99999999999",), be_national, ("rijksregister", "registre national", "insz")),
    NumberRule("BR_CPF", ("999.999.999-99",), br_cpf),
    NumberRule("BR_CPF", ("99999999999",), br_cpf, ("cpf",)),
    NumberRule("IN_AADHAAR", ("9999 9999 9999", "9999-9999-9999"), in_aadhaar),
    NumberRule("IN_AADHAAR", ("999999999999",), in_aadhaar, ("aadhaar", "aadhar", "uidai")),
    NumberRule("CA_SIN", ("999 999 999", "999-999-999", "999999999"), ca_sin, ("sin", "social insurance")),
    NumberRule("AU_TFN", ("999 999 999", "999999999"), au_tfn, ("tfn", "tax file")),
    NumberRule("CH_AHV", ("999.9999.9999.99", "9999999999999"), ch_ahv),
    NumberRule("KR_RRN", ("999999-9999999",), kr_rrn),
    NumberRule("DK_CPR", ("999999-9999", "9999999999"), dk_cpr, ("cpr", "personnummer")),
    NumberRule("NO_FNR", ("999999 99999", "99999999999"), no_fnr, ("fødselsnummer", "fodselsnummer", "personnummer")),
    NumberRule("ZA_ID", ("9999999999999",), za_id, ("identity", "id number", "south african")),
)

LETTERED: Final = (
    LetteredRule(
        "ES_DNI",
        r"[0-9XYZ](?<![\w\-].)\d{7}-?[A-HJ-NP-TV-Z](?![\w\-])",
        r"[0-9XYZ]\d{7}-?[A-HJ-NP-TV-Z]",
        ("99999999A", "99999999-A", "A9999999A", "A9999999-A"),
        es_dni,
    ),
    LetteredRule(
        "IT_FISCAL_CODE",
        r"[A-Z](?<![\w\-].)[A-Z]{5}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z](?![\w\-])",
        r"[A-Z][A-Z]{5}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]",
        ("AAAAAA99A99A999A",),
        it_fiscal_code,
    ),
    LetteredRule(
        "FI_HETU",
        r"\d(?<![\w\-].)\d{5}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y](?![\w\-])",
        r"\d\d{5}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]",
        ("999999-999", "999999+999", "999999A999"),
        fi_hetu,
        keeps_separators=True,
    ),
    LetteredRule("CN_ID", r"\d(?<![\w\-].)\d{16}[0-9Xx](?![\w\-])", r"\d\d{16}[0-9Xx]", ("9" * 17,), cn_id),
    LetteredRule(
        "UK_NINO",
        r"[A-CEGHJ-PR-TW-Z](?<![\w\-].)[A-CEGHJ-PR-TW-Z] ?(?:\d\d ?){3}[A-D](?![\w\-])",
        r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-PR-TW-Z] ?(?:\d\d ?){3}[A-D]",
        ("AA99", "AA 99"),
        uk_nino,
    ),
    LetteredRule("SG_NRIC", r"[STFG](?<![\w\-].)\d{7}[A-Z](?![\w\-])", r"[STFG]\d{7}[A-Z]", ("A9999999A",), sg_nric),
    LetteredRule(
        "IN_PAN",
        r"[A-Z](?<![\w\-].)[A-Z]{2}[ABCFGHLJPT][A-Z]\d{4}[A-Z](?![\w\-])",
        r"[A-Z][A-Z]{2}[ABCFGHLJPT][A-Z]\d{4}[A-Z]",
        ("AAAAA9999A",),
        _always,
        context=("pan", "permanent account", "income tax"),
    ),
)

TYPES: Final = frozenset(rule.type for rule in (*NUMBERS, *LETTERED))
_SEPARATORS: Final = re.compile(r"[ .\-]")


def without_separators(text: str) -> str:
    """The text as a check takes it."""
    return _SEPARATORS.sub("", text).upper()
