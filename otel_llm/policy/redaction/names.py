"""Names under which credentials are kept: what stands there is one, whatever it looks like."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

CREDENTIAL: Final = "CREDENTIAL"

_NAMES: Final = frozenset(
    {
        "password", "passwd", "pwd", "passphrase", "secret", "clientsecret", "secretkey", "secretaccesskey",
        "awssecretaccesskey", "apikey", "xapikey", "apitoken", "authorization", "proxyauthorization", "accesstoken",
        "refreshtoken", "idtoken", "authtoken", "sessiontoken", "bearertoken", "privatekey", "cookie", "setcookie",
        "credentials", "credential", "connectionstring", "xgoogapikey", "ocpapimsubscriptionkey", "xauthtoken",
        "dbpassword", "userpassword", "masterkey", "signingkey", "encryptionkey", "openaiapikey", "anthropicapikey",
        "awssessiontoken", "xamzsecuritytoken", "azureapikey", "geminiapikey",
        "googleapikey", "hftoken", "githubtoken",
    }
)  # fmt: skip
_NOT_LETTERS: Final = re.compile(r"[^a-z0-9]")


@lru_cache(maxsize=4096)
def is_credential_name(name: str) -> bool:
    """Whether a key of an attribute or of an object names a credential; what stands before the last dot is not read."""
    return _NOT_LETTERS.sub("", name[-64:].rpartition(".")[2].lower()) in _NAMES


@lru_cache(maxsize=4096)
def as_words(name: str) -> str:
    """A key as words that may stand before its value: `user.phone_number` is `phone number`."""
    return re.sub(r"[_\-]+|(?<=[a-z])(?=[A-Z])", " ", name[-64:].rpartition(".")[2])
