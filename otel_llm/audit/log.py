"""Appends records to the chain, and keeps its files: rotation, retention, recovery, anchors.

The laws of this module:
- A record that `record` took over is in the file: written, not buffered, so that a killed process loses none. A machine
  that loses its power may lose what came since the last sync, a second by default.
- What cannot be written raises AuditError; nothing is written in part, and the chain goes on when there is room again.
- Where the next file cannot be opened, or an old one not removed, the chain goes on in the file it has, and says so.
- Retention removes whole files, and says so in the chain before it does.
- A chain has one writer. A forked process never goes on with its parent's: it begins with a place of its own at its
  first record, where several may write.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from weakref import WeakSet

from otel_llm.audit.chain import FIRST, head_mac, link, mac_of, read
from otel_llm.audit.files import HEAD, Head, Segment, lines, read_head, segment_path, segments, write_head
from otel_llm.audit.places import claim, log_name
from otel_llm.clock import Clock, SystemClock
from otel_llm.errors import AuditError
from otel_llm.policy.audit_sink import AuditRecord
from otel_llm.telemetry import LogLimiter

_logger = logging.getLogger(__name__)
_MOST_ANCHORS: Final = 1000
_DAY_NANO: Final = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Anchor:
    """How far a log had come; kept elsewhere, it proves what the log held by then.

    Attributes:
        log: the name of the log.
        seq: the last record.
        mac: its code, in hex.
        time_unix_nano: when.
    """

    log: str
    seq: int
    mac: str
    time_unix_nano: int


@dataclass(frozen=True, slots=True)
class Limits:
    """When the log does what.

    Attributes:
        segment_bytes: a file that is this large is followed by the next.
        retention_days: files whose last record is older go; None keeps all.
        sync_seconds: at most so long until what was written is safe from a loss of power.
        anchor_records: an anchor after so many records.
        anchor_seconds: and after so long, when there were any.
        processes: so many may write at a time, each in a folder of its own.
    """

    segment_bytes: int = 64 << 20
    retention_days: int | None = None
    sync_seconds: float = 1.0
    anchor_records: int = 1000
    anchor_seconds: float = 60.0
    processes: int = 1


class AuditLog:
    """A chain of records in a folder; thread-safe, and one process at a time.

    Args:
        folder: made when it is not there.
        key: of the chain, at least 16 bytes.
        limits: when it rotates, removes, syncs and anchors, and how many processes may write.
        clock: for all of that.

    Raises:
        AuditError: the folder cannot be used, another process uses it, or its last record does not fit the key.
    """

    def __init__(self, folder: Path, key: bytes, limits: Limits | None = None, clock: Clock | None = None) -> None:
        self.folder = self._configured = folder
        self._key = key
        self._limits = limits or Limits()
        self._clock = clock or SystemClock()
        self._log = LogLimiter(_logger, self._clock.monotonic)
        self._lock = threading.Lock()
        self._holders: set[object] = set()
        self._made_in = os.getpid()
        self._has_ended = False
        self._begin()
        _follow_forks(self)

    def _begin(self) -> None:
        """Take a place, and go on with the chain that is there."""
        self._anchors: deque[Anchor] = deque(maxlen=_MOST_ANCHORS)
        self._seq = self._size = self._synced_seq = self._anchored_seq = 0
        self._mac = FIRST
        self._file = self._lock_file = -1
        self._synced_at = self._anchored_at = self._clock.monotonic()
        try:
            self.folder, self._lock_file = claim(self._configured, self._limits.processes)
            self._recover()
        except OSError as error:
            self._let_go_of_files()
            raise AuditError(f"audit log {self.folder}: {error.strerror or type(error).__name__}") from error
        except ValueError as error:
            self._let_go_of_files()
            raise AuditError(
                f"audit log {self.folder}: its last record is none; run otel-llm audit verify, and give another folder"
            ) from error
        except AuditError:
            self._let_go_of_files()
            raise

    def after_fork_in_child(self) -> None:
        """This is a forked process, and the chain is its parent's."""
        self._lock = threading.Lock()  # another thread of the parent may have held it
        self._let_go_of_files()  # or this process would keep the place when its parent has ended

    def begin_anew_after_fork(self) -> None:
        """Take a place for this process, if the log was opened by its parent and several may write.

        Raises:
            AuditError: there is none to be had.
        """
        with self._lock:
            self._begin_anew()

    def _begin_anew(self) -> None:
        if os.getpid() != self._made_in and self._limits.processes > 1 and not self._has_ended:
            self._begin()
            self._made_in = os.getpid()

    @property
    def name(self) -> str:
        """What anchors call it."""
        return log_name(self.folder)

    @property
    def key(self) -> bytes:
        """The key of the chain."""
        return self._key

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more records, in this process."""
        return self._file < 0 or os.getpid() != self._made_in

    @property
    def seq(self) -> int:
        """The number of the last record, 0 when there is none."""
        return self._seq

    def record(self, record: AuditRecord) -> None:
        """Append a record.

        Raises:
            AuditError: it could not be written: the disk is full, the log was closed, or opened before a fork and one
                process only may write.
        """
        with self._lock:
            self._begin_anew()
            if os.getpid() != self._made_in:  # two that go on from the same record would make two chains of one
                raise AuditError(f"audit log {self.folder}: a forked process cannot write it; set processes to more")
            try:
                if self._size >= self._limits.segment_bytes:
                    self._rotate()
                self._append(record)
                self._keep_up()
            except OSError as error:
                raise AuditError(f"audit log {self.folder}: {error.strerror or type(error).__name__}") from error

    def keep_up(self) -> None:
        """Sync and anchor what is due; to be called now and then, so that a quiet log is safe as well.

        Raises:
            AuditError: it could not be synced.
        """
        with self._lock:
            if self.is_closed:
                return
            try:
                self._keep_up()
            except OSError as error:
                raise AuditError(f"audit log {self.folder}: {error.strerror or type(error).__name__}") from error

    def anchor(self) -> None:
        """Make an anchor now, when there were records since the last.

        Raises:
            AuditError: it could not be synced.
        """
        with self._lock:
            if self.is_closed:
                return
            try:
                self._sync()
            except OSError as error:
                raise AuditError(f"audit log {self.folder}: {error.strerror or type(error).__name__}") from error
            self._anchor()

    def anchors(self) -> tuple[Anchor, ...]:
        """Anchors that nobody has said to have kept, oldest first; at most 1000."""
        return tuple(self._anchors)

    def keep_anchors(self, kept: int) -> None:
        """The oldest anchors, so many, are kept elsewhere now."""
        for _ in range(min(kept, len(self._anchors))):
            self._anchors.popleft()

    def hold(self, holder: object) -> None:
        """Somebody writes this log until it lets go."""
        with self._lock:
            self._holders.add(holder)

    def let_go(self, holder: object) -> None:
        """Close, when nobody else holds it.

        Raises:
            OSError: it could not be synced; it is closed all the same.
        """
        with self._lock:
            self._holders.discard(holder)
            is_held = bool(self._holders)
        if not is_held:
            self.close()

    def close(self) -> None:
        """Sync, anchor and close. Idempotent."""
        with self._lock:
            self._has_ended = True
            if self._file >= 0:
                try:
                    if not self.is_closed:  # a forked process would put back what its parent has written since
                        self._sync()
                        self._anchor()
                finally:
                    self._let_go_of_files()

    # Everything below runs with the lock held, or before anybody else knows the log.

    def _let_go_of_files(self) -> None:
        for descriptor in (self._file, self._lock_file):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lock_file = -1

    def _append(self, record: AuditRecord, kind: str | None = None) -> None:
        if self._file < 0:
            raise AuditError(f"audit log {self.folder}: it is closed")
        made = link(self._key, self._mac, self._seq + 1, record, kind)
        written = 0
        try:
            while written < len(made.line):
                written += os.write(self._file, made.line[written:])
        except OSError:
            # No half line: the next record must be able to follow.
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(made.line)
        self._seq += 1
        self._mac = made.mac

    def _own(self, kind: str, **details: str) -> None:
        """Append a record about the log itself."""
        now = self._clock.unix_nano()
        self._append(AuditRecord(now, "action", None, None, None, None, None, None, None, None, details), kind)

    def _keep_up(self) -> None:
        now = self._clock.monotonic()
        if self._seq > self._synced_seq and now - self._synced_at >= self._limits.sync_seconds:
            self._sync()
        new = self._seq - self._anchored_seq
        if new >= self._limits.anchor_records or (new and now - self._anchored_at >= self._limits.anchor_seconds):
            self._anchor()

    def _sync(self) -> None:
        if self._seq > self._synced_seq:
            os.fsync(self._file)
            write_head(
                self.folder, Head(seq=self._seq, mac=self._mac.hex(), tag=head_mac(self._key, self._seq, self._mac))
            )
            self._synced_seq = self._seq
        self._synced_at = self._clock.monotonic()

    def _anchor(self) -> None:
        if self._seq > self._anchored_seq:
            self._anchors.append(Anchor(self.name, self._seq, self._mac.hex(), self._clock.unix_nano()))
            self._anchored_seq = self._seq
        self._anchored_at = self._clock.monotonic()

    def _open(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        opened = os.open(path, flags, 0o600)
        before, self._file = self._file, opened
        self._size = os.fstat(opened).st_size
        if before >= 0:
            os.close(before)

    def _rotate(self) -> None:
        self._sync()
        try:
            self._open(segment_path(self.folder, self._seq + 1))
        except OSError as error:  # tried again with the next record
            self._tell("no new file can be begun, the one before grows on", error)
            return
        self._own("start", first_seq=str(self._seq + 1))
        try:
            self._remove_old()
        except (OSError, ValueError) as error:  # tried again with the next file
            self._tell("old files cannot be removed", error)

    def _tell(self, what: str, error: OSError | ValueError) -> None:
        why = str(getattr(error, "strerror", None) or error)
        self._log.warning(what, "audit log %s: %s: %s", self.folder, what, why)

    def _remove_old(self) -> None:
        days = self._limits.retention_days
        if days is None:
            return
        oldest = self._clock.unix_nano() - days * _DAY_NANO
        going: list[Segment] = []
        for segment in segments(self.folder)[:-1]:
            last = _last_line(segment.path)
            if last is None or read(last).time_unix_nano >= oldest:
                break
            # Each file is explained: perhaps not all of them can be removed.
            self._own("retention", removed_to_seq=str(read(last).seq), mac=read(last).mac)
            going.append(segment)
        if going:
            self._sync()
            for segment in going:
                segment.path.unlink()

    def _recover(self) -> None:
        """Go on where the log ended. A line that a power cut left incomplete goes, and the chain says so."""
        found = segments(self.folder)
        if not found:
            if (self.folder / HEAD).exists():
                raise AuditError(f"audit log {self.folder}: there is a head and no records; run otel-llm audit verify")
            self._open(segment_path(self.folder, 1))
            self._own("start", first_seq="1")
            self._sync()
            return
        last = found[-1]
        self._open(last.path)
        torn = _cut_torn_line(self._file, last.path)
        self._size = os.fstat(self._file).st_size
        self._continue(found)
        self._synced_seq = self._anchored_seq = self._seq
        head = read_head(self.folder)
        if torn or head is None or head.seq != self._seq:
            self._own("recovery", torn_bytes=str(torn), head_seq="none" if head is None else str(head.seq))

    def _continue(self, found: list[Segment]) -> None:
        """Take number and code from the last record, and check that it is of this key."""
        for segment in reversed(found):
            pair = _last_two_lines(segment.path)
            if pair is None:  # nothing in it: made, and then the power went
                continue
            before, last = pair
            line = read(last)
            previous = self._end_before(found, segment) if before is None else bytes.fromhex(read(before).mac)
            expected = mac_of(self._key, previous, last)
            if expected is None or expected.hex() != line.mac:
                raise AuditError(
                    f"audit log {self.folder}: its last record, {line.seq}, does not fit the key; "
                    "give the key it was written with, or another folder"
                )
            self._seq, self._mac = line.seq, expected
            return

    def _end_before(self, found: list[Segment], segment: Segment) -> bytes:
        """The code of the last record before a file; what its first record is bound to."""
        earlier = [one for one in found if one.first_seq < segment.first_seq]
        last = _last_line(earlier[-1].path) if earlier else None
        return FIRST if last is None else bytes.fromhex(read(last).mac)


_LOGS: Final[WeakSet[AuditLog]] = WeakSet()
_REGISTERED: Final[list[bool]] = []


def _follow_forks(log: AuditLog) -> None:
    if not _REGISTERED and hasattr(os, "register_at_fork"):
        _REGISTERED.append(True)
        os.register_at_fork(after_in_child=_after_fork_in_child)
    _LOGS.add(log)


def _after_fork_in_child() -> None:
    for log in _LOGS:
        log.after_fork_in_child()


def _cut_torn_line(descriptor: int, path: Path) -> int:
    """Cut off what stands behind the last line break; how many bytes that was."""
    whole = size = 0
    with path.open("rb") as file:
        for line in file:
            size += len(line)
            if line.endswith(b"\n"):
                whole = size
    if whole < size:
        os.ftruncate(descriptor, whole)
    return size - whole


def _last_two_lines(path: Path) -> tuple[bytes | None, bytes] | None:
    tail: deque[bytes] = deque((line for line, is_whole in lines(path) if is_whole), maxlen=2)
    if not tail:
        return None
    return (tail[0] if len(tail) > 1 else None), tail[-1]


def _last_line(path: Path) -> bytes | None:
    pair = _last_two_lines(path)
    return None if pair is None else pair[1]
