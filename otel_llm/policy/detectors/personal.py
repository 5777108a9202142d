"""Personal data that is not a run of digits: mail and network addresses, bank accounts, numbers with letters in them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from otel_llm.policy.detectors import national_ids
from otel_llm.policy.detectors.checksums import mod_97
from otel_llm.policy.detectors.forms import Form, form
from otel_llm.policy.detectors.gate import Cue, Engine, outline, uses_compiled
from otel_llm.policy.detectors.patterns import MOST_FINDINGS, PatternDetector, Rule, in_order, is_finding, words
from otel_llm.policy.findings import Detector, Finding

EMAIL_ADDRESS: Final = "EMAIL_ADDRESS"
IBAN_CODE: Final = "IBAN_CODE"
IP_ADDRESS: Final = "IP_ADDRESS"
URL: Final = "URL"


@dataclass(frozen=True, slots=True)
class _Place:
    """A match that was put together by hand."""

    text: str
    start: int
    end: int

    def group(self, group: int, /) -> str | None:  # noqa: ARG002 - there is only the whole
        return self.text[self.start : self.end]

    def span(self, group: int, /) -> tuple[int, int]:  # noqa: ARG002 - as above
        return self.start, self.end


@dataclass(frozen=True, slots=True)
class _Around:
    """A pattern that is found by a rare character in its middle, and reaches to the left of it.

    Attributes:
        middle: from the rare character on.
        left: from a text and the start of the middle, the start of the whole; the same when it is nothing.
    """

    middle: re.Pattern[str]
    left: Callable[[str, int], int]

    def finditer(self, text: str, /) -> Iterator[_Place]:
        """All matches that do not overlap."""
        last = 0
        for match in self.middle.finditer(text):
            start = max(
                last, self.left(text, match.start())
            )  # `a@x.org&b@y.org`: the second does not begin in the first
            if start < match.start():
                last = match.end()
                yield _Place(text, start, last)


@dataclass(frozen=True, slots=True)
class _Where:
    """A pattern that is looked for in those texts only of which a quicker search says that they may have it."""

    may_have: Callable[[str], bool]
    pattern: _Around

    def finditer(self, text: str, /) -> Iterator[_Place]:
        return self.pattern.finditer(text) if self.may_have(text) else iter(())


def _back(characters: str, most: int) -> Callable[[str, int], int]:
    """Goes left over at most so many characters of a set."""
    pattern = re.compile(rf"[{characters}]*")

    def left(text: str, start: int) -> int:
        backwards = pattern.match(text[max(0, start - most) : start][::-1])
        return start - backwards.end() if backwards else start

    return left


# Mail. Domains of other scripts count; the last label has letters only, so that package@1.2.3 is none.
_MAIL: Final = _Around(
    re.compile(r"@(?:[^\W_](?:[\w\-]{0,62})\.){1,10}[^\W\d_]{2,24}(?![\w\-])"), _back(r"\w.%+\-'!#$&*/=?^`{|}~", 64)
)
_MAIL_START: Final = re.compile(r"[^\w]*")
_FILE_NAMES: Final = frozenset(
    {"png", "jpg", "jpeg", "gif", "svg", "webp", "js", "ts", "css", "gz", "tgz", "whl", "jar"}  # none is a domain
)


class _Mail:
    """Mail addresses without the punctuation that a local part may have and a sentence puts before it."""

    def finditer(self, text: str, /) -> Iterator[_Place]:
        for place in _MAIL.finditer(text):
            start = place.start
            for position in range(start, place.end):
                if text[position] == "@":
                    break
                if text[position] in "'\"/=?|{}&`*":  # legal, and hardly ever meant
                    start = position + 1
            stripped = _MAIL_START.match(text, start)
            start = stripped.end() if stripped else start
            if start < place.end and text[start : place.end].find("@") > 0:
                yield _Place(text, start, place.end)


def _is_mail(text: str) -> bool:
    local, _, domain = text.rpartition("@")
    return domain.rpartition(".")[2].lower() not in _FILE_NAMES and local != "git"


def _first_part(text: str, dot: int) -> int:
    """Where the one to three digits before a dot begin; the dot when there are none, or they go on to the left."""
    start = dot
    while start > 0 and dot - start < _MOST_OCTET and "0" <= text[start - 1] <= "9":
        start -= 1
    before = text[start - 1 : start]
    goes_on_left = before.isascii() and (before.isalnum() or before in _JOINS_LEFT) if before else False
    return dot if goes_on_left else start


_MOST_OCTET: Final = 3
_JOINS_LEFT: Final = "_.-"


# Network addresses. Only those that the Internet routes can lead to a person.
_IPV4: Final = _Around(re.compile(r"\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\w\-]|\.\d)", re.ASCII), _first_part)
# Not the addresses of private networks, which texts are full of.
_IPV4_CUE: Final = (
    r"(?:\b(?:[1-9]|1[1-9]|[2-9]\d|1[013-8]\d|12[0-689]|19[013-9]|2[01]\d|22[0-3])"
    r"|192\.(?:\d\d?|1[0-57-9]\d|16[0-79]|2\d\d))\.\d{1,3}\.\d{1,3}\.\d"
)
_VERSION: Final = re.compile(r"(?:version|release|build|firmware|\bv|==|\^|~)\W{0,2}$", re.IGNORECASE)
_IPV6: Final = _Around(
    re.compile(r":(?<!::)[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]{0,34}(?:\d{1,3}(?:\.\d{1,3}){3})?(?![\w:])"),
    _back("0-9A-Fa-f:", 5),
)
_IPV6_CUE: Final = r"[0-9A-Fa-f]:(?:[0-9A-Fa-f]{1,4}:){2}|[0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{1,4}:)?:"
# How most addresses begin that lead to nobody: a quicker no than taking them apart.
_PRIVATE: Final = ("10.", "127.", "192.168.", "169.254.", "0.")
# A version of four parts looks like an address; addresses with four small parts are rare.
_SMALL: Final = 32


class _Ipv4:
    """Dotted quads that are no versions."""

    def finditer(self, text: str, /) -> Iterator[_Place]:
        for place in _IPV4.finditer(text):
            if _no_version(text, place.start, place.end):
                yield place


def _no_version(text: str, start: int, end: int) -> int:
    """The end of a dotted quad; 0 when it is a version, or an address that leads to nobody."""
    if text.startswith(_PRIVATE, start):
        return 0
    parts = [int(part) for part in text[start:end].split(".")]
    is_one = max(parts) >= _SMALL and _may_be_routed(parts) and not _VERSION.search(text, max(0, start - 12), start)
    return end if is_one else 0


def _may_be_routed(parts: Sequence[int]) -> bool:
    """A quick no to the addresses that texts are full of: of private networks, of the machine itself, multicast."""
    first, second = parts[0], parts[1]
    return first not in (0, 10, 127) and first < 224 and (first, second) not in ((192, 168), (169, 254))


def _is_routed(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    # Of the short forms, only those that are given out (2000::/3): a::b is a name in a program, 22::5 an hour.
    is_given_out = address.version == 4 or text.count(":") == 7 or (text[0] in "23" and text[4:5] == ":")
    return address.is_global and is_given_out


def _ipv6_rule(engine: Engine | None) -> Rule:
    if not uses_compiled(engine):
        return Rule(IP_ADDRESS, _IPV6, Cue(pattern=_IPV6_CUE), is_valid=_is_routed, confidence=0.7)
    from otel_llm.policy.detectors import _compiled  # noqa: PLC0415 - not built where there is no compiler

    # Looking for the cue takes less time there than in any gate.
    return Rule(IP_ADDRESS, _Where(_compiled.may_have_ipv6, _IPV6), is_valid=_is_routed, confidence=0.7)


# Bank accounts. Source: the SWIFT IBAN registry (country -> length).
_IBAN_SIZES: Final = {
    country: size
    for size, countries in {
        15: "NO", 16: "BE", 18: "DK FI FK FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK", 21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ DZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV",
        29: "BR EG PS QA UA", 30: "JO KW MU", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
_HEAD: Final = re.compile(rb"aa99(?<![a9_\-]....)")
_IN_ONE_CASE: Final = bytes.maketrans(b"A", b"a")
_IBAN_CUE: Final = rf"\b(?i:{'|'.join(_IBAN_SIZES)})\d\d(?:[ \-]?[A-Za-z0-9]){{4}}(?:[ \-]?[A-Za-z0-9]{{1,4}}){{2}}"


class _Iban:
    """Country, two check digits, and as many letters and digits, in groups or not, as the country has."""

    def finditer(self, text: str, /) -> Iterator[_Place]:
        for match in _HEAD.finditer(outline(text).translate(_IN_ONE_CASE)):
            end = _end_of_account(text, match.start())
            if end:
                yield _Place(text, match.start(), end)


def _end_of_account(text: str, start: int, _end: int = 0) -> int:
    """Where the account ends whose country stands here; 0 when there is none."""
    size = _IBAN_SIZES.get(text[start : start + 2].upper())
    account = _account(size).match(text, start) if size else None
    return 0 if account is None or text[account.end() : account.end() + 1].isalnum() else account.end()


@cache
def _account(size: int) -> re.Pattern[str]:
    """So many letters and digits with single separators."""
    return re.compile(rf"[A-Za-z0-9](?:[ \-]?[A-Za-z0-9]){{{size - 1}}}")


def _is_iban(text: str) -> bool:
    return mod_97(text.replace(" ", "").replace("-", "").upper())


_URL: Final = re.compile(
    r"(?:https?|ftp)://[^\s\"'<>\\)\]}]{3,2000}|(?<![\w.@/])www\.[^\s\"'<>\\)\]}]{3,2000}", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Shaped:
    """A pattern whose matches begin with shapes, which are searched for faster in the outline of a text."""

    shapes: re.Pattern[bytes]
    pattern: re.Pattern[str]

    def finditer(self, text: str, /) -> Iterator[re.Match[str]]:
        whole = outline(text)
        shape = self.shapes.search(whole)
        while shape is not None:
            match = self.pattern.match(text, shape.start())
            if match is not None:
                yield match
            shape = self.shapes.search(whole, match.end() if match else shape.start() + 1)


def _lettered_rules(types: frozenset[str]) -> Iterator[Rule]:
    for rule in national_ids.LETTERED:
        if rule.type in types:
            check = rule.is_valid if rule.keeps_separators else _without_separators(rule.is_valid)
            context = words(*rule.context) if rule.context else None
            pattern = re.compile(rule.pattern, re.ASCII)
            yield Rule(
                rule.type,
                _Shaped(re.compile(b"|".join(re.escape(shape.encode()) for shape in rule.shapes)), pattern),
                Cue(pattern=rule.cue, shapes=rule.shapes),
                0,
                check,
                context,
            )


def _without_separators(check: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda text: check(national_ids.without_separators(text))


@dataclass(frozen=True, slots=True)
class _Formed:
    """A rule whose places a form finds.

    Attributes:
        form: finds them, or where they begin.
        end: from the text, and the start and end of a form, the end of the finding; 0 when it is none.
    """

    rule: Rule
    form: Form
    end: Callable[[str, int, int], int] = lambda _text, _start, end: end


class _FormDetector:
    """Looks for all forms at once; what PatternDetector does with the same rules, and faster."""

    name = "personal"

    __slots__ = ("_formed", "_forms", "types")

    def __init__(self, formed: Sequence[_Formed]) -> None:
        from otel_llm.policy.detectors import _compiled  # noqa: PLC0415 - not built where there is no compiler

        self._formed = tuple(formed)
        self._forms = _compiled.Forms([one.form for one in formed])
        self.types = frozenset(one.rule.type for one in formed)

    def find(self, text: str) -> tuple[Finding, ...]:
        """What the forms and the rules' checks agree on."""
        found = []
        for position, start, form_end in self._forms.find(text):
            formed = self._formed[position]
            end = formed.end(text, start, form_end)
            if end and is_finding(formed.rule, text, start, end):
                found.append(Finding(formed.rule.type, start, end, self.name, formed.rule.confidence))
                if len(found) > MOST_FINDINGS:
                    break
        return in_order(found)


def _formed(rules: Sequence[Rule]) -> Iterator[_Formed]:
    for rule in rules:
        if isinstance(rule.pattern, _Ipv4):
            octets = form(r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}", dot_joins=True)
            yield _Formed(rule, octets, _no_version)
        elif isinstance(rule.pattern, _Iban):
            yield _Formed(rule, form(r"[A-Za-z]{2}\d{2}", open_end=True), _end_of_account)
        elif rule.type in _LETTERED_TYPES and rule.cue.pattern:
            yield _Formed(rule, form(rule.cue.pattern))


_LETTERED_TYPES: Final = frozenset(rule.type for rule in national_ids.LETTERED)
TYPES: Final = frozenset({EMAIL_ADDRESS, IBAN_CODE, IP_ADDRESS, URL, *(rule.type for rule in national_ids.LETTERED)})


def personal(types: frozenset[str] = TYPES - {URL}, engine: Engine | None = None) -> tuple[Detector, ...]:
    """The detectors `personal`: of these types; URLs are no personal data unless one says so."""
    rules = [
        Rule(EMAIL_ADDRESS, _Mail(), Cue(("@",)), is_valid=_is_mail, confidence=0.95),
        Rule(IP_ADDRESS, _Ipv4(), Cue(pattern=_IPV4_CUE), is_valid=_is_routed, confidence=0.7),
        _ipv6_rule(engine),
        Rule(IBAN_CODE, _Iban(), Cue(pattern=_IBAN_CUE), is_valid=_is_iban),
        Rule(URL, _URL, Cue(("://", "www.")), confidence=0.6),
        *_lettered_rules(types),
    ]
    rules = [rule for rule in rules if rule.type in types]
    if not uses_compiled(engine):
        return (PatternDetector("personal", rules, engine),)
    formed = list(_formed(rules))
    others = [rule for rule in rules if all(rule is not one.rule for one in formed)]
    return PatternDetector("personal", others, engine), _FormDetector(formed)
