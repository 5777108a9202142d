"""Everything between a pipeline and an exporter: queue, batching, retry, split, accounts.

    config.py        what the user sets: `sending_queue` and `retry_on_failure` of an exporter
    account.py       accepted = exported + dropped{reason} + queued, at every instant
    status.py        what a delivery says about itself
    queue.py         the Queue seam and its twin in memory, bounded in bytes, which also makes batches
    compact.py       a payload in a form whose memory is what it says
    split.py         one request as two, on the bytes
    shorten.py       one item that is too large, with its content cut
    backoff.py       how long to wait before trying again
    stopping.py      the wish to stop, and until when
    sender.py        one batch to its destination: split, retry, give up, count
    delivery.py      Delivery: the thread and the lifecycle
    fan_out.py       one payload to several deliveries, or to none
    in_app.py        a delivery in an application: fork, exit, SIGTERM

On disk, from the bytes up:

    records.py       one record: header, checksum, note, payload
    segment.py       one file of records
    cursor.py        how far records are settled, in a small file
    segment_log.py   a log of segments: append, read, settle, recover
    disk_line.py     one signal's log: group commit, batches, what is also in memory
    disk_queue.py    the Queue on disk: one exporter's logs, quota, lock
    quarantine.py    damaged files are kept
    dead_letters.py  what a destination refused for good
    storage.py       each folder is opened once in a process
    folder_lock.py   and by one process at a time
    survey.py        what lies there, seen from outside

The law of this package: what was accepted is exported or counted as dropped with a reason, and every wait has an end.
"""
