"""Putting hooks into libraries and taking them out again, whatever others do to the same attributes meanwhile.

The law of this module: an attribute that is ours gets its original back, the very object; one that somebody has wrapped
since stays as it is, and our hook inside of it turns into a pass-through. Putting a hook in twice puts it in once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

MARK: Final = "__otel_llm_hook__"


@dataclass(slots=True)
class Patch:
    """One attribute that was replaced.

    Attributes:
        owner: the class or module.
        name: the attribute.
        original: what was there.
        hook: what is there now.
        was_own: whether the owner itself had it, rather than inheriting it.
    """

    owner: Any
    name: str
    original: Any
    hook: Any
    was_own: bool


def nobody() -> None:
    """Nobody else makes spans."""


@dataclass(slots=True)
class Patches:
    """The attributes that were replaced for one library.

    Attributes:
        is_active: whether the hooks do anything; those that cannot be taken out look here.
        emitted_by: who else makes spans of the library's calls now; None when nobody does.
        undo: what else is to be undone.
    """

    is_active: bool = True
    emitted_by: Callable[[], str | None] = nobody
    undo: list[Callable[[], None]] = field(default_factory=list)
    _patches: list[Patch] = field(default_factory=list)

    def replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> bool:  # noqa: ANN401 - any class or module
        """Replace `owner.name` by what `make` makes of it.

        Returns:
            False when it is replaced already.

        Raises:
            AttributeError: there is no such attribute.
        """
        original = getattr(owner, name)
        if getattr(original, MARK, None) is self:
            return False
        hook = make(original)
        setattr(hook, MARK, self)
        self._patches.append(Patch(owner, name, original, hook, name in vars(owner)))
        setattr(owner, name, hook)
        return True

    def restore(self) -> None:
        """Take the hooks out where nobody wrapped them since; switch the others off."""
        self.is_active = False
        for patch in reversed(self._patches):
            if vars(patch.owner).get(patch.name) is not patch.hook:
                continue
            if patch.was_own:
                setattr(patch.owner, patch.name, patch.original)
            else:
                delattr(patch.owner, patch.name)
        self._patches.clear()
        while self.undo:
            self.undo.pop()()
