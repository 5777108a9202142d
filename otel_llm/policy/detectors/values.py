"""Values that may be credentials: how random they look, and what only stands in the place of one."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Final

# What stands in documentation, in templates, in code that reads a credential, and what redaction has put there.
_PLACEHOLDERS: Final = re.compile(
    r"(?i)(?:x+|\*+|\.+|<.*|\$?\{.*|\$\(?[A-Z_]+\)?|%\w+%|\[[A-Z][A-Z0-9_]*(?:[:~][\w*]*)?\]?|your[_\- ].*|changeme|placeholder"
    r"|redacted|none|null|true|false|undefined|required|optional|string|str|password|secret|token|os\.environ.*|os\.getenv.*"
    r"|process\.env.*|getenv.*|getpass.*|(?:self|settings|config|args|request)\..*)"
)


def entropy(text: str) -> float:
    """Bits for each character, by how often each occurs."""
    size = len(text)
    return -sum(count / size * math.log2(count / size) for count in Counter(text).values())


def is_placeholder(text: str) -> bool:
    """Whether this stands where a credential would, and is none."""
    return bool(_PLACEHOLDERS.fullmatch(text))


def is_value(text: str) -> bool:
    """Whether this may be a credential after a word that says so: no placeholder, and more than `xxxx`."""
    return not is_placeholder(text) and len(set(text)) > 3


def is_random_value(text: str) -> bool:
    """A value that is no word: prose writes `token: the` and `secret=yes` as well."""
    return is_value(text) and entropy(text) >= 3.0 and any(character.isdigit() for character in text)
