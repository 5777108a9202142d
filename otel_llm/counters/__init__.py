"""Counters that several processes share: in a SQLite file on one machine, in Redis beyond it.

    sqlite.py     the file
    redis.py      the server: one trip a batch, one script
    keeper.py     the thread that makes the trips; nobody else waits for a store

What is counted, and what is asked for, is a Batch (otel_llm/budget/batch.py). A batch is written once, however often it
has to be sent. Counters are whole numbers of 64 bits, and are forgotten some time after their period.
"""
