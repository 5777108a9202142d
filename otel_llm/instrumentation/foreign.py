"""Whether somebody else has instrumented a method already.

Every instrumentation of others wraps with `wrapt`, whose wrappers say which function does it.
"""

from __future__ import annotations

import sys
from types import ModuleType


def wrapped_by(*places: tuple[ModuleType | str, str]) -> str | None:
    """The module that has wrapped one of these methods, None when nobody has.

    Args:
        places: a module, or the name of one that may be imported, and the path of a method in it.
    """
    for module, path in places:
        found: object = sys.modules.get(module) if isinstance(module, str) else module
        for name in path.split("."):
            found = getattr(found, name, None)
        wrapper = getattr(found, "_self_wrapper", None)
        if wrapper is not None:
            return str(getattr(wrapper, "__module__", None) or type(wrapper).__module__)
    return None
