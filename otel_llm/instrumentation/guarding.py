"""An answer on its way to the app, looked after by admissions that want to: what they pass on, the app gets.

The laws of this module: chunks come in their order, and each only when all of its text is through; a chunk whose text
nobody changed is the SDK's own. A denial is a DeniedError in place of what is left, and the SDK's stream is closed.
What fails on our side counts as what the admission's `on_answer_error` says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from otel_llm.admission import AnswerGuard, Decision, TextGuard
from otel_llm.errors import DeniedError
from otel_llm.instrumentation.answer_texts import Piece, Position, ended, pieces, texts
from otel_llm.instrumentation.boundary import Boundary
from otel_llm.instrumentation.provider import Accumulator, Content
from otel_llm.operation import Message, Operation

if TYPE_CHECKING:
    from otel_llm.instrumentation.call import Call

T = TypeVar("T")

# An answer that has to be seen whole is held up to this size, in characters.
_MOST_HELD: Final = 16 * 1024 * 1024


def denial(name: str, decision: Decision) -> DeniedError:
    """A denial as the app gets it."""
    reason = decision.reason or "denied"
    why = reason if decision.message is None else f"{decision.message} ({reason})"
    return DeniedError(f"{name} denied the call: {why}", reason, decision.rule_id, decision.message)


def failure(name: str) -> DeniedError:
    """What the app gets when an admission fails, closed."""
    return DeniedError(f"{name} could not decide about the call, and fails closed", "admission_failed")


class _FailedError(Exception):
    """A step of ours failed, and the answer passes without a guard."""


@dataclass(slots=True)
class Guarding:
    """The guards of one answer.

    Attributes:
        call: it answers.
        operation: the request; what guards set on it goes onto the span.
        guards: with the name of their admission and whether it fails closed.
        boundary: what catches our failures.
    """

    call: Call
    operation: Operation
    guards: Sequence[tuple[str, bool, AnswerGuard]]
    boundary: Boundary
    _noted: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether the answer has to be complete before any of it is passed on."""
        return len(self.guards) > 1 or any(guard.is_whole for _, _, guard in self.guards)

    def answer(self, answer: Any, holder: Any = None) -> None:  # noqa: ANN401 - an answer of any SDK
        """Look at a whole answer, and change it where guards do.

        Args:
            answer: as the endpoint reads it.
            holder: what its texts stand in, when that is something else.

        Raises:
            DeniedError: it is not for the app; the call has ended.
        """
        found: list[Piece] = []
        try:
            found += self.step(lambda: texts(answer if holder is None else holder))
            self.decide(lambda: self.call.endpoint.output(answer).messages or _said(found))
            for piece in found:
                self.complete(piece)
        except _FailedError:
            return
        except DeniedError as denied:
            self.note()
            self.call.failed(denied)
            raise
        self.note()

    def decide(self, messages: Callable[[], Sequence[Message]]) -> None:
        """Have the guards decide about all that was said.

        Raises:
            DeniedError: it is not for the app.
        """
        said = self.step(messages)
        for _, _, guard in self.guards:
            self.step(partial(guard.whole, said))
            self.check()

    def complete(self, piece: Piece) -> None:
        """Look at a text that is complete, and put what is passed on in its place."""
        text = piece.text
        for _, _, guard in self.guards:
            text = self.step(partial(_through, guard, text))
            self.check()
        if text != piece.text:
            self.step(partial(piece.replace, text))

    def step(self, step: Callable[[], T]) -> T:
        """What a step of ours returns.

        Raises:
            DeniedError: it failed, and fails closed.
        """
        done = self.boundary.run("answer.guard", lambda: (step(),))
        if done is not None:
            return done[0]
        closed = next((name for name, is_closed, _ in self.guards if is_closed), None)
        if closed is not None:
            raise failure(closed)
        raise _FailedError

    def check(self) -> None:
        """See whether a guard denied.

        Raises:
            DeniedError: it did.
        """
        for name, _, guard in self.guards:
            if guard.denied is not None:
                raise denial(name, guard.denied)

    def cannot(self) -> None:
        """The answer cannot be looked after where it comes from.

        Raises:
            DeniedError: that fails closed; the call has ended.
        """
        self.call.guarding = None
        with self.call.failing(), suppress(_FailedError):
            self.step(self._refuse)

    def _refuse(self) -> None:
        raise NotImplementedError(f"answers of {self.call.endpoint.name} cannot be looked after here")

    def note_changes(self) -> None:
        """Take over what guards have set by now: an app may stop to read when it has seen the provider's end mark."""
        if len(self.operation.overlay) != self._noted:
            self.note()

    def note(self) -> None:
        """Take over what guards have set on the operation."""
        self._noted = len(self.operation.overlay)
        changed = {key: self.operation.get(key) for key in self.operation.overlay if key.startswith("otel_llm.")}
        found = {key: value for key, value in changed.items() if value is not None}
        self.call.attributes.update(found)
        span = self.call.span
        if span is not None:
            self.boundary.run("answer.span", span.set_attributes, found)


def _said(found: Sequence[Piece]) -> Sequence[Message]:
    """The texts of an answer whose messages nobody can read, as one message."""
    return [{"role": "assistant", "parts": [{"type": "text", "content": piece.text} for piece in found]}]


def _through(guard: AnswerGuard, text: str) -> str:
    one = guard.text()
    return one.push(text) + one.finish()


@dataclass(slots=True)
class _Waiting:
    """A piece that is not through yet.

    Attributes:
        piece: the piece.
        left: how many of its characters are not through.
        out: what comes in place of those that are.
    """

    piece: Piece
    left: int
    out: list[str] = field(default_factory=list)

    def settle(self) -> None:
        """Put into the chunk what is passed on, when that is something else."""
        text = "".join(self.out)
        if text != self.piece.text:
            self.piece.replace(text)


class _Text:
    """One text of a stream: its guard, and the pieces that wait."""

    __slots__ = ("_guard", "_held", "_passed", "_waiting")

    def __init__(self, guard: TextGuard) -> None:
        self._guard = guard
        self._held = ""
        self._passed = 0
        self._waiting: deque[_Waiting] = deque()

    def push(self, piece: Piece) -> _Waiting:
        """Take a piece."""
        waiting = _Waiting(piece, len(piece.text))
        self._waiting.append(waiting)
        self._held += piece.text
        self._spread(self._guard.push(piece.text))
        return waiting

    def finish(self) -> None:
        """Nothing more comes."""
        self._spread(self._guard.finish())

    def _spread(self, text: str) -> None:
        """Give what is passed on to the pieces it is of; where something was replaced, all of it to the first."""
        count = self._guard.passed - self._passed
        self._passed = self._guard.passed
        is_same = text == self._held[:count]
        self._held = self._held[count:]
        if not is_same and self._waiting:
            self._waiting[0].out.append(text)
        at = 0
        while at < count:
            first = self._waiting[0]
            taken = min(first.left, count - at)
            if is_same:
                first.out.append(text[at : at + taken])
            first.left -= taken
            at += taken
            if not first.left:
                first.settle()
                self._waiting.popleft()


class Chunks:
    """The chunks of one stream, in and out.

    Args:
        guarding: of the answer.
        guard: the one that looks.
    """

    def __init__(self, guarding: Guarding, guard: AnswerGuard) -> None:
        self._guarding = guarding
        self._guard = guard
        self._texts: dict[Hashable, tuple[Position, _Text]] = {}
        self._queue: deque[tuple[Any, list[_Waiting]]] = deque()
        self._is_open = False

    def add(self, chunk: Any) -> list[Any]:  # noqa: ANN401 - a chunk of any SDK
        """Take a chunk; those that may go now.

        Raises:
            DeniedError: nothing more may go.
        """
        if self._is_open:
            return [chunk]
        self._queue.append((chunk, []))
        return self._stepped(lambda: self._add(chunk))

    def finish(self) -> list[Any]:
        """There are no more chunks; those that are left. Raises as `add`."""
        return [] if self._is_open else self._stepped(lambda: self._end(()))

    def _stepped(self, step: Callable[[], None]) -> list[Any]:
        guarding = self._guarding
        try:
            guarding.step(step)
            guarding.check()
        except _FailedError:
            self._is_open = True
            left = [chunk for chunk, _ in self._queue]
            self._queue.clear()
            return left
        ready = []
        while self._queue and not any(waiting.left for waiting in self._queue[0][1]):
            ready.append(self._queue.popleft()[0])
        return ready

    def _add(self, chunk: Any) -> None:  # noqa: ANN401 - as above
        waits = self._queue[-1][1]
        for piece in pieces(chunk):
            if piece.key is None:
                self._guarding.complete(piece)
            else:
                waits.append(self._text(piece).push(piece))
        for position in ended(chunk):
            self._end(position)

    def _text(self, piece: Piece) -> _Text:
        known = self._texts.get(piece.key)
        if known is None:
            known = self._texts[piece.key] = (piece.position, _Text(self._guard.text()))
        return known[1]

    def _end(self, position: Position) -> None:
        for key, (at, text) in list(self._texts.items()):
            if at[: len(position)] == position:
                text.finish()
                del self._texts[key]


class Whole:
    """The chunks of a stream that has to be complete before any of it goes."""

    def __init__(self, guarding: Guarding, accumulator: Reader) -> None:
        self._guarding = guarding
        self._accumulator = accumulator
        self._chunks: list[Any] = []
        self._size = 0

    def add(self, chunk: Any) -> list[Any]:  # noqa: ANN401 - a chunk of any SDK
        """Take a chunk; none may go."""
        self._chunks.append(chunk)

        def take() -> None:
            self._accumulator.add(chunk)
            self._size += sum(len(piece.text) for piece in pieces(chunk))
            if self._size > _MOST_HELD:
                raise ValueError("the answer is too large to be held")

        with suppress(_FailedError):
            self._guarding.step(take)
        return []

    def finish(self) -> list[Any]:
        """The answer is complete: all of it. Raises as `Chunks.add`."""
        with suppress(_FailedError):
            self._guarding.decide(lambda: self._accumulator.output().messages)
        chunks = self._chunks
        for _, _, guard in self._guarding.guards:
            through = Chunks(self._guarding, guard)
            chunks = [one for chunk in chunks for one in through.add(chunk)] + through.finish()
        return chunks


class Reader(Protocol):
    """Collects what chunks say; an Accumulator, or what has one."""

    def add(self, chunk: Any) -> None:  # noqa: ANN401 - a chunk of any SDK
        """Take a chunk."""
        ...

    def output(self) -> Content:
        """Messages of the answer."""
        ...


def core_of(
    call: Call, guarding: Guarding, reading: Callable[[Accumulator], Reader] = lambda one: one
) -> Chunks | Whole:
    """What says when the chunks of an answer may go.

    Args:
        call: that is answered.
        guarding: of the answer.
        reading: from the endpoint's accumulator to one that takes these chunks.
    """
    make = call.endpoint.accumulator
    if guarding.is_whole and make is not None:
        return Whole(guarding, reading(make(True)))  # noqa: FBT003 - the accumulator's signature
    return Chunks(guarding, guarding.guards[0][2])


def guarded(call: Call, chunks: Any) -> Any:  # noqa: ANN401 - an iterator of any SDK
    """The chunks that the app gets; the very same iterator when nobody looks after the answer."""
    guarding = call.guarding
    if guarding is None:
        return chunks
    kind: Any = GuardedAsyncIterator if hasattr(chunks, "__anext__") else GuardedIterator
    return kind(chunks, core_of(call, guarding), guarding)


class _Ready:
    """Chunks that may go, and how it ends."""

    __slots__ = ("chunks", "core", "denied", "guarding", "is_over")

    def __init__(self, core: Chunks | Whole, guarding: Guarding) -> None:
        self.core = core
        self.guarding = guarding
        self.chunks: deque[Any] = deque()
        self.denied: DeniedError | None = None
        self.is_over = False

    def take(self, chunk: Any) -> bool:  # noqa: ANN401 - a chunk of any SDK
        """Take a chunk; False when the answer was stopped."""
        goes_on = self._more(partial(self.core.add, chunk))
        self.guarding.note_changes()
        return goes_on

    def finish(self) -> None:
        """There are no more chunks."""
        self.is_over = True
        self._more(self.core.finish)
        self.guarding.note()

    def _more(self, step: Callable[[], list[Any]]) -> bool:
        try:
            self.chunks += step()
        except DeniedError as denied:
            self.guarding.note()
            self.denied = denied
            return False
        return True


class GuardedIterator:
    """Chunks of a synchronous stream. Where the SDK raises, what is held has not been looked at, and goes with it.

    Args:
        chunks: the SDK's iterator.
        core: says what may go.
        guarding: of the answer.

    Attributes:
        gi_running: whether the SDK's iterator is asked right now, as generators have it: a close then is its own, and
            the end is told here.
    """

    __slots__ = ("__weakref__", "_chunks", "_ready", "gi_running")

    def __init__(self, chunks: Iterator[Any], core: Chunks | Whole, guarding: Guarding) -> None:
        self._chunks = chunks
        self._ready = _Ready(core, guarding)
        self.gi_running = False

    def __iter__(self) -> GuardedIterator:
        return self

    def __next__(self) -> Any:  # noqa: ANN401 - a chunk of any SDK
        ready = self._ready
        while not ready.chunks:
            if ready.denied is not None:
                raise ready.denied
            if ready.is_over:
                raise StopIteration
            self.gi_running = True
            try:
                self._advance(ready)
            finally:
                self.gi_running = False
        return ready.chunks.popleft()

    def _advance(self, ready: _Ready) -> None:
        try:
            chunk = next(self._chunks)
        except StopIteration:
            ready.finish()
            return
        close = getattr(self._chunks, "close", None)
        if not ready.take(chunk) and close is not None:
            ready.guarding.boundary.run("answer.close", close)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the SDK's iterator has
        return getattr(self._chunks, name)


class GuardedAsyncIterator:
    """Chunks of an asynchronous stream; as GuardedIterator."""

    __slots__ = ("__weakref__", "_chunks", "_ready", "gi_running")

    def __init__(self, chunks: AsyncIterator[Any], core: Chunks | Whole, guarding: Guarding) -> None:
        self._chunks = chunks
        self._ready = _Ready(core, guarding)
        self.gi_running = False

    def __aiter__(self) -> GuardedAsyncIterator:
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401 - a chunk of any SDK
        ready = self._ready
        while not ready.chunks:
            if ready.denied is not None:
                raise ready.denied
            if ready.is_over:
                raise StopAsyncIteration
            self.gi_running = True
            try:
                await self._advance(ready)
            finally:
                self.gi_running = False
        return ready.chunks.popleft()

    async def _advance(self, ready: _Ready) -> None:
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            ready.finish()
            return
        close = getattr(self._chunks, "aclose", None)
        if not ready.take(chunk) and close is not None:
            await close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the SDK's iterator has
        return getattr(self._chunks, name)
