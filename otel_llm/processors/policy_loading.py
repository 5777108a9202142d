"""Policies from files to a bundle, and again when the files change.

The laws of this module: a bundle is complete before anybody sees it, then one reference is swapped; policies that
cannot be used never replace those that can; nobody who processes spans waits for any of it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from otel_llm._generated.attributes import ATTRIBUTE_TYPES
from otel_llm.clock import Clock
from otel_llm.policy.detectors import ATTACK_TYPES, PERSONAL_TYPES, SECRET_TYPES, DetectorSet, built_in
from otel_llm.policy.packs import pack_path
from otel_llm.policy.redaction import KeyProblem, operator
from otel_llm.policy.sets import (
    Bundle,
    Detection,
    LazyDetector,
    PolicyError,
    Vocabulary,
    compile_bundle,
    read_documents,
)
from otel_llm.policy.sets.files import load_documents, policy_files
from otel_llm.policy.sets.model import KEYED

_logger = logging.getLogger(__name__)

_DETECTOR_SETS: Final[Mapping[str, frozenset[str]]] = {
    "personal": PERSONAL_TYPES,
    "secrets": SECRET_TYPES,
    "attacks": ATTACK_TYPES,
}
Stamps = Mapping[Path, tuple[int, ...]]


def built_in_detection(allowed_hosts: Iterable[str] = ()) -> Detection:
    """The detectors that rules can name: `personal`, `secrets`, `attacks`, and every type of these.

    Args:
        allowed_hosts: to which addresses in answers may carry data.
    """
    hosts = tuple(allowed_hosts)

    def make(name: str) -> DetectorSet:
        types = _DETECTOR_SETS[name]
        return DetectorSet(built_in(types, allowed_hosts=hosts), types, name=name)

    return Detection([LazyDetector(name, types, partial(make, name)) for name, types in _DETECTOR_SETS.items()])


def paths_of(files: Iterable[str], packs: Iterable[str]) -> list[Path]:
    """The paths of files, folders, and packs by name.

    Raises:
        PolicyError: there is no such pack.
    """
    problems: list[str] = []
    paths = [Path(one) for one in files]
    for name in packs:
        try:
            paths.append(pack_path(name))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise PolicyError(problems)
    return paths


def load_bundle(paths: Sequence[Path], detection: Detection) -> Bundle:
    """The bundle of files and folders.

    Raises:
        PolicyError: with every problem.
    """
    documents = read_documents(load_documents(paths))
    return compile_bundle(documents, Vocabulary(ATTRIBUTE_TYPES), detection)


@dataclass(frozen=True, slots=True)
class Means:
    """What a host has for rules, beside detectors.

    Attributes:
        key: for the operators that need one.
        is_audited: whether there is an audit log.
    """

    key: bytes | None = None
    is_audited: bool = False

    def check(self, bundle: Bundle) -> None:
        """See whether it is enough for a bundle.

        Raises:
            PolicyError: it is not; with every problem.
        """
        problems: dict[str, None] = {}
        for rule in bundle.rules:
            action = rule.rule.action
            if action.type == "modify" and action.operator in KEYED:
                try:
                    operator(action.operator, self.key)
                except KeyProblem as error:
                    problems[f"{rule.policy_set.file}: rule {rule.rule.id}: action.operator: {error}"] = None
        if not self.is_audited:
            for one in bundle.documents.sets:
                if one.audit_failure == "fail":
                    problems[f"{one.file}: failurePolicy.audit: expected an audit log; set audit"] = None
        if problems:
            raise PolicyError(list(problems))


class Listener(Protocol):
    """Who is told of the policies."""

    def checked(self) -> None:
        """The files were looked at, and have not changed."""
        ...

    def reloaded(self, bundle: Bundle | None, problems: Sequence[str]) -> None:
        """A reload has ended, with another bundle or with problems."""
        ...


class BundleSource:
    """The bundle in force.

    Args:
        paths: files and folders.
        detection: what rules may name.
        clock: for the interval.
        check_interval_seconds: how often to look whether files have changed, 0 for never.
        listener: told of each look at the files, and of each reload.
        means: what rules may need beside detectors.

    Raises:
        PolicyError: there is nothing to start with.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        detection: Detection,
        clock: Clock,
        check_interval_seconds: float,
        listener: Listener,
        means: Means,
    ) -> None:
        self._paths = tuple(paths)
        self._detection = detection
        self._clock = clock
        self._interval = check_interval_seconds
        self._listener = listener
        self._stamps: Stamps | None = self._look()  # before reading: a file that changes meanwhile is read once more
        self._means = means
        self._bundle = self._load()
        self._next_check = clock.monotonic() + check_interval_seconds
        # Of the last reload that failed: they are told once.
        self._problems: Sequence[str] = ()
        # Held while a reload is under way, by whoever started it.
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self) -> None:
        """Look after the files also while nobody asks for the bundle, on a thread that ends with this.

        Without it, the first call after an hour without traffic would pass though a kill switch was turned meanwhile. A
        forked process has no such thread: there, only who asks for the bundle looks.
        """
        if not self._interval:
            return
        thread = threading.Thread(
            target=_watch,
            args=(weakref.ref(self), self._stopped, self._interval),
            name="otel-llm-policy-watch",
            daemon=True,
        )
        with contextlib.suppress(RuntimeError):  # no more threads can be had
            thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Look after the files no more; the bundle stays as it is. Idempotent."""
        self._interval = 0
        self._stopped.set()
        self.wait(timeout_seconds)

    @property
    def bundle(self) -> Bundle:
        """The bundle in force; looks after the files now and then, and reads changed ones on a thread of its own."""
        if self._interval and self._clock.monotonic() >= self._next_check:
            self._check()
        return self._bundle

    def wait(self, timeout_seconds: float) -> None:
        """Wait for a reload that has begun."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_seconds)

    def _check(self) -> None:
        if not self._lock.acquire(blocking=False):
            return
        self._next_check = self._clock.monotonic() + self._interval
        stamps = self._look()
        if stamps == self._stamps:
            self._lock.release()
            self._listener.checked()
            return
        self._stamps = stamps
        thread = threading.Thread(target=self._reload, name="otel-llm-policy-reload", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads can be had; tried again at the next check
            self._stamps = None
            self._lock.release()
            return
        self._thread = thread

    def _load(self) -> Bundle:
        bundle = load_bundle(self._paths, self._detection)
        self._means.check(bundle)
        return bundle

    def _reload(self) -> None:
        try:
            bundle = self._load()
        except PolicyError as error:
            # Tried again at the next check: what cannot be read now perhaps can be then, and looks the same.
            self._stamps = None
            if error.problems != self._problems:
                self._problems = error.problems
                _logger.error("policies not reloaded, those before stay in force: %s", "; ".join(error.problems))  # noqa: TRY400 - the traceback says nothing
                self._listener.reloaded(None, error.problems)
        else:
            self._problems = ()
            self._bundle = bundle
            _logger.info("policies reloaded: %s", bundle.id)
            self._listener.reloaded(bundle, ())
        finally:
            self._lock.release()

    def _look(self) -> Stamps:
        """What tells a changed file; files that are gone are left out."""
        stamps: dict[Path, tuple[int, ...]] = {}
        for path in self._paths:
            with contextlib.suppress(OSError):
                for file in policy_files(path):
                    stamps[file] = _stamp(file)
        return stamps


def _stamp(file: Path) -> tuple[int, ...]:
    """When it was changed, in itself or in who may read it, its size and which one it is; empty if nobody can say."""
    try:
        status = file.stat()
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def _watch(source: weakref.ref[BundleSource], stopped: threading.Event, interval_seconds: float) -> None:
    while not stopped.wait(interval_seconds):
        alive = source()
        if alive is None:
            return
        _ = alive.bundle
        del alive
