"""The log on disk: what is found again after every kind of damage."""

from __future__ import annotations

import errno
import os
import random
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_llm.delivery.cursor import CursorFile, Place
from otel_llm.delivery.quarantine import QUARANTINE
from otel_llm.delivery.records import Spot, checksum, encode_header, find_record, read_record, record_bytes
from otel_llm.delivery.segment import HEADER_BYTES, segment_files
from otel_llm.delivery.segment_log import SealError, SegmentLog
from otel_llm.signals import SIGNALS, Payload

SEGMENT = 4096
MAGIC = b"\xc5\x0eLR"


def some(number: int, size: int = 100, items: int = 1) -> Payload:
    return Payload.of("traces", (number.to_bytes(4, "big"), bytes([number % 251]) * (size - 4)), items)


def opened(folder: Path, segment_bytes: int = SEGMENT) -> SegmentLog:
    return SegmentLog(folder, segment_bytes, sync=True)


def append(log: SegmentLog, payload: Payload) -> int:
    log.make_room(record_bytes(payload))
    return log.append(payload, checksum(payload.buffers), 0)


def fill(folder: Path, count: int, size: int = 100) -> None:
    """A log that a process leaves behind when it is killed: nothing is sealed or closed in order."""
    log = opened(folder)
    for number in range(count):
        append(log, some(number, size))
    abandon(log)


def abandon(log: SegmentLog) -> None:
    for segment in log._segments:
        segment.close()
    log._cursor.close()


def numbers(log: SegmentLog) -> list[int]:
    found = []
    while (record := log.read()) is not None:
        found.append(int.from_bytes(record.payload.join()[:4], "big"))
    return found


def test_what_was_appended_is_read_in_order_over_many_segments(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as log:
        assert [append(log, some(number)) for number in range(200)] == list(range(1, 201))
        assert numbers(log) == list(range(200))
        assert len(segment_files(tmp_path)) > 5


def test_a_record_longer_than_a_segment_gets_one_of_its_own(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as log:
        for number, size in enumerate((100, 3 * SEGMENT, 100)):
            append(log, some(number, size))
        assert numbers(log) == [0, 1, 2]


def test_what_was_left_behind_is_found_again_and_nothing_is_appended_to_it(tmp_path: Path) -> None:
    fill(tmp_path, 150)
    with closing(opened(tmp_path)) as log:
        assert log.recovery.items == 150
        append(log, some(150))
        assert numbers(log) == list(range(151))


def test_what_was_settled_is_not_read_again_and_takes_no_room(tmp_path: Path) -> None:
    log = opened(tmp_path)
    for number in range(150):
        append(log, some(number))
    numbers(log)
    log.discard(log.settle(101))
    abandon(log)
    with closing(opened(tmp_path)) as log:
        assert log.recovery.items == 50
        assert numbers(log) == list(range(100, 150))
        log.discard(log.settle(151))
    assert segment_files(tmp_path) == []


def test_the_batch_that_was_on_its_way_is_known_again(tmp_path: Path) -> None:
    log = opened(tmp_path)
    for number in range(10):
        append(log, some(number))
    log.mark_batch(3, 7)
    id_ = log.id
    abandon(log)
    with closing(opened(tmp_path)) as log:
        assert log.batch == Place(3, 7)
        assert log.id == id_


# Nothing is mapped at its beginning, so that reading there fails as from a bad disk.
_UNREADABLE = Path("/proc/self/mem")


@pytest.mark.skipif(not _UNREADABLE.exists(), reason="no file here whose reading fails with EIO")
def test_files_that_the_disk_does_not_give_keep_a_log_neither_from_opening_nor_from_going_on(tmp_path: Path) -> None:
    fill(tmp_path, 100)
    (tmp_path / "cursor").unlink()
    (tmp_path / "cursor").symlink_to(_UNREADABLE)
    bad = segment_files(tmp_path)[0]
    in_it = segment_files(tmp_path)[1].stem
    bad.unlink()
    bad.symlink_to(_UNREADABLE)
    with closing(opened(tmp_path)) as log:
        assert log.recovery.damaged_segments == 1
        append(log, some(100))
        assert numbers(log) == list(range(int(in_it) - 1, 101))
        log.discard(log.settle(102))


def test_a_disk_that_stops_giving_what_is_read_loses_that_and_nothing_else(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as log:
        for number in range(100):
            append(log, some(number))
        bad = log._segments[1]
        lost = range(bad.first_sequence - 1, bad.next_sequence - 1)
        write_only = os.open(bad.path, os.O_WRONLY)
        os.dup2(write_only, bad.file)
        os.close(write_only)
        log.rewind()
        assert numbers(log) == [number for number in range(100) if number not in lost]
        assert log.take_lost() == len(lost)
        log.rewind()


@pytest.mark.parametrize("cut", range(1, 140, 7))
def test_a_torn_end_is_cut_off_and_everything_before_it_read(tmp_path: Path, cut: int) -> None:
    fill(tmp_path, 20)
    last = segment_files(tmp_path)[-1]
    with last.open("r+b") as file:
        data = file.read().rstrip(b"\0")
        file.truncate(len(data) - cut)
    with closing(opened(tmp_path)) as log:
        assert numbers(log) == list(range(20 - (1 if cut <= 136 else 2)))
        assert log.recovery.damaged_segments == 0
        assert append(log, some(99)) > 18


@pytest.mark.parametrize("which", ["sealed", "last"])
def test_a_flipped_bit_costs_its_record_only_and_is_reported(
    tmp_path: Path, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    sealed = which == "sealed"
    fill(tmp_path, 60)
    victim = segment_files(tmp_path)[0 if sealed else -1]
    with victim.open("r+b") as file:
        offset = HEADER_BYTES + 136 + 70
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 4]))
    missing = int(victim.stem)  # the second record of the segment: sequence numbers start at 1
    with closing(opened(tmp_path)) as log:
        assert numbers(log) == [number for number in range(60) if number != missing]
        if sealed:
            assert log.take_lost() == 1
        else:
            assert log.recovery.damaged_segments == 1
    assert "is damaged" in caplog.text
    assert [path.name for path in segment_files(tmp_path / QUARANTINE)] == [victim.name]


def test_a_truncated_segment_is_reported_with_what_it_lost(tmp_path: Path) -> None:
    fill(tmp_path, 60)
    first = segment_files(tmp_path)[0]
    os.truncate(first, HEADER_BYTES + 10 * 136 + 50)
    with closing(opened(tmp_path)) as log:
        kept = numbers(log)
        lost = log.recovery.lost_items
        assert kept[:11] == [*range(10), 10 + lost]
        assert log.recovery.items + lost == 60
        assert log.recovery.damaged_segments == 1


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"garbage" * 1000, os.urandom(100)])
def test_a_segment_that_is_none_does_not_keep_the_log_from_opening(tmp_path: Path, content: bytes) -> None:
    fill(tmp_path, 60)
    segment_files(tmp_path)[0].write_bytes(content)
    with closing(opened(tmp_path)) as log:
        assert numbers(log)[-1] == 59
        assert append(log, some(60)) == 61
        assert numbers(log) == [60]


def test_a_segment_that_cannot_be_opened_is_left_alone(tmp_path: Path) -> None:
    fill(tmp_path, 60)
    first = segment_files(tmp_path)[0]
    first.unlink()
    first.mkdir()
    with closing(opened(tmp_path)) as log:
        assert numbers(log)[-1] == 59
        assert log.recovery.damaged_segments == 1


@pytest.mark.parametrize("content", [b"", b"x" * 500, os.urandom(64)])
def test_a_cursor_that_is_lost_costs_duplicates_and_no_record(tmp_path: Path, content: bytes) -> None:
    log = opened(tmp_path)
    for number in range(20):
        append(log, some(number))
    log.settle(11)
    abandon(log)
    (tmp_path / "cursor").write_bytes(content)
    with closing(opened(tmp_path)) as log:
        assert numbers(log) == list(range(20))


def test_a_cursor_ahead_of_a_log_that_lost_its_end_hides_nothing_that_comes_later(tmp_path: Path) -> None:
    fill(tmp_path, 5)
    cursor = CursorFile(tmp_path / "cursor")
    cursor.write(Place(1000))
    cursor.close()
    with closing(opened(tmp_path)) as log:
        assert append(log, some(7)) == 1000
        assert numbers(log) == [7]


@pytest.mark.parametrize("written", range(0, 64, 5))
def test_a_cursor_whose_writing_was_cut_off_is_the_one_before(tmp_path: Path, written: int) -> None:
    path = tmp_path / "cursor"
    cursor = CursorFile(path)
    for place in (Place(1), Place(2), Place(3)):
        cursor.write(place)
    before = path.read_bytes()
    cursor.write(Place(4, 9))
    cursor.close()
    after = path.read_bytes()
    changed = next(index for index, (one, other) in enumerate(zip(before, after, strict=True)) if one != other)
    start = changed // 64 * 64
    path.write_bytes(after[: start + written] + before[start + written :])
    cursor = CursorFile(path)
    assert cursor.place in (Place(3), Place(4, 9))
    cursor.close()


def test_a_segment_without_its_header_is_read_all_the_same(tmp_path: Path) -> None:
    fill(tmp_path, 60)
    with segment_files(tmp_path)[0].open("r+b") as file:
        file.write(bytes(HEADER_BYTES))
    with closing(opened(tmp_path)) as log:
        assert numbers(log) == list(range(60))


def test_a_record_too_long_for_an_empty_segment_is_read_once(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as log:
        append(log, some(0, SEGMENT - 100))
        log.make_room(SEGMENT)  # another segment, to which nothing comes
        assert numbers(log) == [0]
        append(log, some(1, 3 * SEGMENT))
        assert numbers(log) == [1]
        append(log, some(2))
        assert numbers(log) == [2]


def test_what_is_taken_back_is_never_read_and_its_numbers_not_used_again(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as log:
        append(log, some(0))
        segment = log.active()
        assert segment is not None
        end = segment.end
        append(log, some(1))
        log.take_back(segment, end, 1, 1)
        assert append(log, some(2)) == 3
        assert numbers(log) == [0, 2]
        assert log.take_lost() == 0
        log.settle(1)
    with closing(opened(tmp_path)) as log:
        assert log.recovery.damaged_segments == 0
        assert numbers(log) == [0, 2]


def test_a_full_disk_shows_when_room_is_made_and_the_log_goes_on_afterwards(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    with closing(opened(tmp_path)) as log:
        append(log, some(0))
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            with pytest.raises(OSError, match="too large"):
                log.make_room(3 * SEGMENT)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        append(log, some(1, 3 * SEGMENT))
        assert numbers(log) == [0, 1]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bodies=st.lists(st.tuples(st.binary(max_size=300), st.integers(0, 2**32 - 1)), max_size=8),
    noise=st.binary(max_size=60),
    note=st.binary(max_size=20).map(lambda data: data.hex().encode()),
    signal=st.sampled_from(SIGNALS),
)
def test_records_are_read_as_they_were_written_and_found_behind_noise(
    tmp_path: Path, bodies: list[tuple[bytes, int]], noise: bytes, note: bytes, signal: str
) -> None:
    path = tmp_path / "records"
    payloads = [Payload.of(signal, (body,), items) for body, items in bodies]  # type: ignore[arg-type]
    with path.open("wb") as file:
        file.write(noise)
        for number, payload in enumerate(payloads):
            file.write(encode_header(MAGIC, payload, number, 7, checksum(payload.buffers, note), note) + note)
            file.write(payload.join())
    handle = os.open(path, os.O_RDONLY)
    try:
        start = Spot(handle, 0, os.fstat(handle).st_size, MAGIC)
        offset = find_record(start)
        for number, payload in enumerate(payloads):
            assert offset is not None
            record = read_record(start.at(offset))
            assert record is not None
            assert (record.sequence, record.payload, record.note) == (number, payload, note.decode())
            offset += record.size_bytes
        assert find_record(start.at(offset or start.end)) is None
    finally:
        os.close(handle)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 20_000), junk=st.binary(min_size=1, max_size=200), tail=st.sampled_from(["kept", "cut"]))
def test_whatever_is_written_over_a_log_it_opens_and_reads_only_what_was_appended(
    tmp_path_factory: pytest.TempPathFactory, place: int, junk: bytes, tail: str
) -> None:
    folder = tmp_path_factory.mktemp("log")
    fill(folder, 100)
    files = segment_files(folder)
    victim = files[place % len(files)]
    offset = place % victim.stat().st_size
    with victim.open("r+b") as file:
        file.seek(offset)
        file.write(junk)
        if tail == "cut":
            file.truncate(offset + len(junk))
    with closing(opened(folder)) as log:
        found = numbers(log)
        assert found == sorted(set(found) & set(range(100)))
        if tail == "kept":
            assert len(found) >= 100 - 2 - len(junk) // 100


def settle_all(log: SegmentLog) -> None:
    assert numbers(log)
    log.discard(log.settle(log.next_sequence))


def renewed(folder: Path, count: int) -> SegmentLog:
    """A log whose active segment was written over an older one and holds `count` records that are not settled."""
    log = opened(folder)
    inodes: list[int] = []
    active = None
    for _ in range(3):  # the first, the second while the first becomes the spare, and that one again
        before = active
        while (active := log.active()) is before:
            append(log, some(log.next_sequence - 1))
        settle_all(log)
        assert active is not None
        inodes.append(active.path.stat().st_ino)
    assert inodes[2] == inodes[0]
    for _ in range(count):
        append(log, some(log.next_sequence - 1))
    assert log.active() is active
    return log


@given(count=st.integers(1, 25))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_records_below_those_of_a_renewed_segment_never_come_back(
    tmp_path_factory: pytest.TempPathFactory, count: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = renewed(folder, count)
    last = log.next_sequence
    append(log, some(last - 1))
    abandon(log)
    with closing(opened(folder)) as again:
        found = numbers(again)
        assert found == sorted(set(found))
        assert found[-1] == last - 1
        assert again.recovery.damaged_segments == 0
        assert again.recovery.lost_items == 0


def test_a_renewed_segment_whose_header_is_damaged_gives_its_own_records_only(tmp_path: Path) -> None:
    log = renewed(tmp_path, 3)
    active = log.active()
    assert active is not None
    first = active.first_sequence
    abandon(log)
    (tmp_path / "cursor").unlink()
    with active.path.open("r+b") as file:
        file.write(bytes(HEADER_BYTES))
    with closing(opened(tmp_path)) as again:
        assert numbers(again) == list(range(first - 1, first + 3))


def test_a_renewed_segment_that_nothing_was_put_into_is_empty_also_without_its_header(tmp_path: Path) -> None:
    log = renewed(tmp_path, 3)
    while (active := log.active()) is not None and active.free_bytes >= record_bytes(some(0)):
        append(log, some(0))
    settle_all(log)
    log.make_room(record_bytes(some(0)))
    active = log.active()
    assert active is not None
    assert not active.records
    abandon(log)
    (tmp_path / "cursor").unlink()
    with active.path.open("r+b") as file:
        file.write(bytes(HEADER_BYTES))
    with closing(opened(tmp_path)) as again:
        assert not set(numbers(again)).intersection(range(1, 60))  # what was in it before


def test_a_file_in_quarantine_is_never_written_over(tmp_path: Path) -> None:
    fill(tmp_path, 60)
    first = segment_files(tmp_path)[0]
    with first.open("r+b") as file:
        file.seek(HEADER_BYTES + 200)
        file.write(b"\xff" * 8)
    with closing(opened(tmp_path)) as log:
        settle_all(log)
        kept = {path: path.read_bytes() for path in segment_files(tmp_path / QUARANTINE)}
        assert kept
        for _ in range(4):
            for _ in range(40):
                append(log, some(log.next_sequence))
            settle_all(log)
        assert {path: path.read_bytes() for path in kept} == kept


def test_a_spare_counts_as_disk_and_is_given_back_at_the_end(tmp_path: Path) -> None:
    log = opened(tmp_path)
    for number in range(60):
        append(log, some(number))
    settle_all(log)
    on_disk = sum(path.stat().st_size for path in tmp_path.iterdir() if path.name != "cursor")
    assert log.disk_bytes == on_disk > SEGMENT + HEADER_BYTES
    log.close()
    assert [path.name for path in tmp_path.iterdir()] == ["cursor"]


def test_the_spare_of_a_process_that_was_killed_is_removed(tmp_path: Path) -> None:
    log = opened(tmp_path)
    for number in range(60):
        append(log, some(number))
    settle_all(log)
    abandon(log)
    assert (tmp_path / "spare").exists()
    opened(tmp_path).close()
    assert not (tmp_path / "spare").exists()


def test_segments_that_are_sealed_later_are_all_synced_by_the_next_sync(tmp_path: Path) -> None:
    with closing(SegmentLog(tmp_path, SEGMENT, sync=True, seals_later=True)) as log:
        for number in range(70):
            append(log, some(number))
        segments = log.take_unsynced()
        assert [segment.path for segment in segments] == segment_files(tmp_path)
        assert len(segments) == 3
        log.sync_all(segments)
        assert log.take_unsynced() == segments[-1:]


def fail_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next sync says no, as a disk does; there is no disk that fails on demand."""
    failures = [OSError(errno.EIO, os.strerror(errno.EIO))]

    def sync(file: int) -> None:
        if failures:
            raise failures.pop()
        os.fsync(file)

    monkeypatch.setattr(os, "fdatasync", sync, raising=False)


def test_after_a_seal_that_failed_nothing_is_appended_where_a_restart_would_not_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(tmp_path)
    append(log, some(1))
    fail_once(monkeypatch)
    with pytest.raises(SealError):
        append(log, some(2, size=SEGMENT))
    with pytest.raises(OSError, match="sealed"):  # room in it was promised to somebody before
        log.append(some(3), checksum(some(3).buffers), 0)
    append(log, some(4))
    abandon(log)
    with closing(opened(tmp_path)) as again:
        assert numbers(again) == [1, 4]
        assert not again.recovery.damaged_segments


def test_a_sealed_segment_that_could_not_be_synced_is_synced_by_the_next_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(SegmentLog(tmp_path, SEGMENT, sync=True, seals_later=True)) as log:
        for number in range(70):
            append(log, some(number))
        segments = log.take_unsynced()
        fail_once(monkeypatch)
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            log.sync_all(segments)
        log.give_back(segments)
        append(log, some(70))
        assert log.take_unsynced() == segments


def test_a_sealed_segment_whose_file_went_to_another_one_needs_no_sync(tmp_path: Path) -> None:
    with closing(SegmentLog(tmp_path, SEGMENT, sync=True, seals_later=True)) as log:
        for number in range(40):
            append(log, some(number))
        segments = log.take_unsynced()
        settle_all(log)
        for number in range(40, 70):
            append(log, some(number))
        assert segments[0].file == -1
        log.sync_all(segments)


@given(synced=st.integers(1, 10), more=st.integers(1, 10), kept=st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_loss_of_power_in_a_renewed_segment_brings_back_nothing_that_lay_there_before(
    tmp_path_factory: pytest.TempPathFactory, synced: int, more: int, kept: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = renewed(folder, 1)
    active = log.active()
    assert active is not None
    before = active.path.read_bytes()
    first = log.next_sequence - 2
    for _ in range(synced):
        append(log, some(log.next_sequence - 1))
    safe = active.end
    for _ in range(more):
        append(log, some(log.next_sequence - 1))
    after = active.path.read_bytes()
    abandon(log)
    # What was not synced reaches the disk sector by sector, or does not.
    mixed = bytearray(after)
    for sector in range(safe, len(after), 512):
        if kept.random() < 0.5:
            mixed[sector : sector + 512] = before[sector : sector + 512]
    active.path.write_bytes(mixed)
    with closing(opened(folder)) as again:
        found = numbers(again)
    assert found[: synced + 1] == list(range(first, first + synced + 1))
    assert set(found[synced + 1 :]) <= set(range(first + synced + 1, first + synced + 1 + more))
