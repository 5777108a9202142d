"""Credentials: tokens by their issuers' prefixes and lengths, private keys, passwords in addresses and headers.

Most tokens begin with letters that their issuer chose so that they can be found; those need no more. What has no form
of its own (a password) is found by what stands before it. A string is never a secret only because it looks random:
trace ids, digests and ids of messages do, too.
Source: the token formats that the issuers document (each row's issuer), RFC 7468 (PEM), RFC 7519 (JWT), RFC 7617
(Basic), RFC 3986 (user information in an address).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from otel_llm.policy.detectors.gate import Cue, Engine
from otel_llm.policy.detectors.patterns import PatternDetector, Rule
from otel_llm.policy.detectors.values import is_placeholder, is_random_value, is_value

# Prefix, what follows it, how much of it; and of whom it is. A token ends where its characters end.
_WORD: Final = r"[A-Za-z0-9]"
_DASH: Final = r"[A-Za-z0-9_\-]"
_HEX: Final = r"[0-9a-f]"
_UPPER: Final = r"[A-Z0-9]"
_TOKENS: Final[tuple[tuple[str, tuple[str, ...], str, str], ...]] = (
    ("AWS_ACCESS_KEY", ("AKIA", "ASIA", "ABIA", "ACCA"), _UPPER, "{16}"),
    ("GITHUB_TOKEN", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), _WORD, "{36,255}"),
    ("GITHUB_TOKEN", ("github_pat_",), r"\w", "{60,100}"),
    ("GITLAB_TOKEN", ("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "gloas-"), _DASH, "{20,80}"),
    ("SLACK_TOKEN", ("xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xoxe.", "xapp-"), r"[A-Za-z0-9.\-]", "{10,250}"),
    ("STRIPE_KEY", ("sk_live_", "sk_test_", "rk_live_", "rk_test_", "sk_prod_", "whsec_"), _WORD, "{16,250}"),
    ("ANTHROPIC_KEY", ("sk-ant-",), _DASH, "{20,200}"),
    ("LANGFUSE_KEY", ("sk-lf-",), _DASH, "{20,60}"),
    ("OPENROUTER_KEY", ("sk-or-",), _DASH, "{20,100}"),
    ("OPENAI_KEY", ("sk-proj-", "sk-svcacct-", "sk-admin-", "sk-None-", "sess-"), _DASH, "{20,250}"),
    ("OPENAI_KEY", ("sk-",), _WORD, "{20,128}"),
    ("GOOGLE_API_KEY", ("AIza",), _DASH, "{35}"),
    ("GOOGLE_OAUTH_TOKEN", ("ya29.",), _DASH, "{20,500}"),
    ("GOOGLE_OAUTH_TOKEN", ("GOCSPX-",), _DASH, "{28}"),
    ("HUGGINGFACE_TOKEN", ("hf_", "api_org_"), r"[A-Za-z]", "{30,40}"),
    ("GROQ_KEY", ("gsk_",), _WORD, "{48,60}"),
    ("XAI_KEY", ("xai-",), _WORD, "{70,90}"),
    ("PERPLEXITY_KEY", ("pplx-",), _WORD, "{40,60}"),
    ("REPLICATE_TOKEN", ("r8_",), _WORD, "{37,40}"),
    ("PINECONE_KEY", ("pcsk_",), r"\w", "{50,80}"),
    ("TAVILY_KEY", ("tvly-",), _DASH, "{20,60}"),
    ("NVIDIA_KEY", ("nvapi-",), _DASH, "{60,70}"),
    ("LANGSMITH_KEY", ("lsv2_pt_", "lsv2_sk_"), r"\w", "{30,60}"),
    ("NPM_TOKEN", ("npm_",), _WORD, "{36}"),
    ("PYPI_TOKEN", ("pypi-AgEIcHlwaS5vcmc", "pypi-AgENdGVzdC5weXBpLm9yZ"), _DASH, "{50,500}"),
    ("RUBYGEMS_TOKEN", ("rubygems_",), _HEX, "{48}"),
    ("SENDGRID_KEY", ("SG.",), r"[A-Za-z0-9_\-.]", "{66}"),
    ("MAILCHIMP_KEY", ("mandrill_", "md-"), _DASH, "{22}"),
    ("TELEGRAM_TOKEN", ("bot",), r"[0-9]", "{8,10}:[A-Za-z0-9_\\-]{35}"),
    ("SHOPIFY_TOKEN", ("shpat_", "shpca_", "shppa_", "shpss_"), r"[a-fA-F0-9]", "{32}"),
    ("DIGITALOCEAN_TOKEN", ("dop_v1_", "doo_v1_", "dor_v1_"), _HEX, "{64}"),
    ("DATABRICKS_TOKEN", ("dapi",), _HEX, "{32}"),
    ("DOPPLER_TOKEN", ("dp.pt.", "dp.st.", "dp.ct."), r"[A-Za-z0-9._\-]", "{40,60}"),
    ("VAULT_TOKEN", ("hvs.", "hvb.", "hvr."), _DASH, "{24,300}"),
    ("LINEAR_KEY", ("lin_api_", "lin_oauth_"), _WORD, "{32,64}"),
    ("NOTION_TOKEN", ("ntn_",), _WORD, "{43,50}"),
    ("FIGMA_TOKEN", ("figd_",), _DASH, "{38,45}"),
    ("SENTRY_TOKEN", ("sntrys_", "sntryu_"), r"[A-Za-z0-9+/=_]", "{40,300}"),
    ("NEW_RELIC_KEY", ("NRAK-", "NRIQ-", "NRII-"), r"[A-Za-z0-9\-]", "{24,40}"),
    ("GRAFANA_TOKEN", ("glc_", "glsa_"), r"[A-Za-z0-9+/=_]", "{32,400}"),
    ("POSTMAN_KEY", ("PMAK-",), r"[a-f0-9\-]", "{50,64}"),
    ("SQUARE_TOKEN", ("sq0atp-", "sq0csp-", "EAAAE"), _DASH, "{22,64}"),
    ("ATLASSIAN_TOKEN", ("ATATT3", "ATCTT3"), r"[A-Za-z0-9_\-=]", "{60,250}"),
    ("SUPABASE_KEY", ("sbp_", "sb_secret_"), r"\w", "{24,60}"),
    ("FLY_TOKEN", ("fm1_", "fm2_", "fo1_"), r"[A-Za-z0-9+/=_\-]", "{40,800}"),
    ("CLOUDFLARE_TOKEN", ("v1.0-",), _HEX, "{24}-[0-9a-f]{100,180}"),
    ("HEROKU_KEY", ("HRKU-",), _DASH, "{36,70}"),
    ("AGE_SECRET_KEY", ("AGE-SECRET-KEY-1",), _UPPER, "{58}"),
    ("BUILDKITE_TOKEN", ("bkua_",), _HEX, "{40}"),
    ("PULUMI_TOKEN", ("pul-",), _HEX, "{40}"),
    ("TERRAFORM_TOKEN", ("atlasv1.",), _DASH, "{60,80}"),
    ("DISCORD_WEBHOOK", ("discord.com/api/webhooks/", "discordapp.com/api/webhooks/"), r"[A-Za-z0-9/_\-]", "{60,110}"),
    ("SLACK_WEBHOOK", ("hooks.slack.com/services/", "hooks.slack.com/workflows/"), r"[A-Za-z0-9/+]", "{30,80}"),
)  # fmt: skip

PRIVATE_KEY: Final = "PRIVATE_KEY"
JWT: Final = "JWT"
HTTP_CREDENTIALS: Final = "HTTP_CREDENTIALS"
URL_CREDENTIALS: Final = "URL_CREDENTIALS"
PASSWORD: Final = "PASSWORD"  # noqa: S105 - the name of a type
AZURE_KEY: Final = "AZURE_KEY"

_LONGEST_KEY: Final = 16_384
_PEM_BEGIN: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END: Final = "PRIVATE KEY"


@dataclass(frozen=True, slots=True)
class _Span:
    text: str
    start: int
    end: int

    def group(self, group: int, /) -> str | None:  # noqa: ARG002 - there is only the whole
        return self.text[self.start : self.end]

    def span(self, group: int, /) -> tuple[int, int]:  # noqa: ARG002 - as above
        return self.start, self.end


class _Pem:
    """From the line that begins a private key to the line that ends it; when that is cut off, to where a key ends."""

    def finditer(self, text: str, /) -> Iterator[_Span]:
        after = 0
        for match in _PEM_BEGIN.finditer(text):
            if match.start() < after:
                continue
            end = text.find("-----END ", match.end(), match.end() + _LONGEST_KEY)
            closing = text.find("-----", end + 9, end + 80) if end >= 0 else -1
            after = closing + 5 if closing >= 0 else min(len(text), match.end() + _LONGEST_KEY)
            yield _Span(text, match.start(), after)


def _is_basic(text: str) -> bool:
    """Whether this is `user:password` in base64."""
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False
    return b":" in decoded and decoded.isascii()


def _is_jwt(text: str) -> bool:
    header = text.partition(".")[0]
    try:
        return base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)).lstrip().startswith(b"{")
    except (binascii.Error, ValueError):
        return False


def _token_rules() -> Iterator[Rule]:
    for type_, prefixes, characters, count in _TOKENS:
        start = "|".join(map(re.escape, prefixes))
        pattern = re.compile(rf"(?:{start}){characters}{count}")
        yield Rule(
            type_, _Start(pattern), Cue(tuple(sorted({prefix.lower() for prefix in prefixes}))), is_valid=_is_token
        )


@dataclass(frozen=True, slots=True)
class _Start:
    """A pattern whose matches must not begin in the middle of a word: base64 holds every prefix by chance."""

    pattern: re.Pattern[str]

    def finditer(self, text: str, /) -> Iterator[re.Match[str]]:
        for match in self.pattern.finditer(text):
            before = text[match.start() - 1 : match.start()]
            if not (before.isalnum() and before.isascii()):
                yield match


def _is_token(text: str) -> bool:
    """Whether enough of it differs: documentation writes sk-xxxxxxxxxxxxxxxxxxxx."""
    return len(set(text[-16:])) > 4


_QUERY_KEYS: Final = (
    r"(?:api[_\-]?key|key|access[_\-]?token|auth[_\-]?token|id[_\-]?token|refresh[_\-]?token|token|sig|signature|secret"
    r"|client[_\-]?secret|password|passwd|pwd|code_verifier|x-amz-signature|x-amz-credential|x-amz-security-token"
    r"|x-goog-signature|x-goog-credential|awsaccesskeyid|subscription-key|session[_\-]?id)"
)


class _Query:
    """The first credential of a query that stands alone, as in `url.query`, with no mark before it."""

    pattern: Final = re.compile(rf"{_QUERY_KEYS}=([^\s&#\"'<>\\;]{{4,4096}})(?=&|\Z)", re.IGNORECASE)

    def finditer(self, text: str, /) -> Iterator[re.Match[str]]:
        match = self.pattern.match(text)
        if match is not None:
            yield match


_OTHERS: Final = (
    Rule(PRIVATE_KEY, _Pem(), Cue(("private key",)), confidence=0.99),
    Rule(
        JWT,
        re.compile(r"eyJ(?<![A-Za-z0-9_\-]...)[A-Za-z0-9_\-]{8,4000}\.[A-Za-z0-9_\-]{8,8000}(?:\.[A-Za-z0-9_\-]{8,2000})?"),
        Cue(("eyj",)),
        is_valid=_is_jwt,
        confidence=0.97,
    ),
    Rule(
        HTTP_CREDENTIALS,
        re.compile(r"\bbasic\s{1,3}([A-Za-z0-9+/]{8,1000}={0,2})(?![A-Za-z0-9+/])", re.IGNORECASE),
        Cue(("basic ",)),
        1,
        is_valid=_is_basic,
    ),
    Rule(
        HTTP_CREDENTIALS,
        re.compile(r"\bbearer\s{1,3}([A-Za-z0-9_\-.~+/]{16,4000}=*)", re.IGNORECASE),
        Cue(("bearer ",)),
        1,
        is_valid=is_random_value,
    ),
    Rule(
        URL_CREDENTIALS,
        re.compile(r"://[^\s/:@\"'<>?#]{0,128}:([^\s/@\"'<>]{1,256})@"),
        Cue(("://",)),
        1,
        is_valid=lambda text: not is_placeholder(text),
    ),
    Rule(
        URL_CREDENTIALS,
        re.compile(rf"[?&;#]{_QUERY_KEYS}=([^\s&#\"'<>\\;]{{4,4096}})", re.IGNORECASE),
        Cue(tuple(f"{mark}{key}" for mark in "?&;#" for key in (
            "api", "key", "access", "auth", "id_t", "id-t", "idt", "refresh", "token", "sig", "secret", "client", "pass",
            "pwd", "code_v", "x-amz", "x-goog", "aws", "subscription", "session",
        ))),
        1,
        is_valid=is_value,
    ),
    Rule(URL_CREDENTIALS, _Query(), group=1, is_valid=lambda text: is_value(text) and not text.isalpha()),
    Rule(
        AZURE_KEY,
        re.compile(r"(?:AccountKey|SharedAccessKey|SharedAccessSignature)=([A-Za-z0-9+/=%]{30,120})", re.IGNORECASE),
        Cue(("accountkey=", "sharedaccesskey=", "sharedaccesssignature=")),
        1,
    ),
    Rule(
        PASSWORD,
        re.compile(
            r"(?:password|passwd|passphrase|pwd)\\?[\"']?\s{0,3}(?::|=|\bis\b|=>|:=)\s{0,3}\\?[\"'`]?([^\s\"'`,;<>{}()\[\]\\]{4,256})",
            re.IGNORECASE,
        ),
        Cue(("password", "passwd", "passphrase", "pwd")),
        1,
        is_valid=lambda text: is_value(text) and (not text.isalpha() or len(text) > 64),
        confidence=0.7,
    ),
    Rule(
        "API_KEY",
        re.compile(
            r"(?:api[_\- ]?key|secret[_\- ]?key|client[_\- ]?secret|access[_\- ]?token|auth[_\- ]?token|secret_access_key"
            r"|x-api-key|private[_\- ]?token)[\"']?\s{0,3}(?::|=|=>|:=|\bis\b)\s{0,3}[\"'`]?"
            r"([A-Za-z0-9_\-+/=.]{16,512})",
            re.IGNORECASE,
        ),
        Cue((
            "api_key", "api-key", "api key", "apikey", "secret_key", "secret-key", "secretkey", "secret key",
            "client_secret", "client-secret", "clientsecret", "access_token", "access-token", "accesstoken", "auth_token",
            "auth-token", "authtoken", "secret_access_key", "private_token", "private-token",
        )),
        1,
        is_valid=is_random_value,
        confidence=0.7,
    ),
)  # fmt: skip

TYPES: Final = frozenset({*(row[0] for row in _TOKENS), *(rule.type for rule in _OTHERS)})


def secrets(types: frozenset[str] = TYPES, engine: Engine | None = None) -> PatternDetector:
    """The detector `secrets`: of these types."""
    rules = [rule for rule in (*_token_rules(), *_OTHERS) if rule.type in types]
    return PatternDetector("secrets", rules, engine)
