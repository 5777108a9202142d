"""Everything between a pipeline and an exporter: queue, batching, retry, split, accounts.

    config.py    what the user sets: `sending_queue` and `retry_on_failure` of an exporter
    account.py   accepted = exported + dropped{reason} + queued, at every instant
    queue.py     the Queue seam and its twin in memory, bounded in bytes, which also makes batches
    compact.py   a payload in a form whose memory is what it says
    split.py     one request as two, on the bytes
    backoff.py   how long to wait before trying again
    stopping.py  the wish to stop, and until when
    sender.py    one batch to its destination: split, retry, give up, count
    delivery.py  Delivery: the thread and the lifecycle
    fan_out.py   one payload to several deliveries, or to none

The law of this package: what was accepted is exported or counted as dropped with a reason, and every wait has an end.
"""
