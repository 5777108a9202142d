"""The ledger: one row for each GenAI operation, in SQLite or PostgreSQL. What reports are made from.

    row.py       a Row, and how an Operation becomes one
    schema.py    the tables, as numbered migrations
    store.py     Ledger: record, read, total, forget
    database.py  what a database must do; sqlite.py and postgres.py do it
    totals.py    sums over rows that say what they do not know
    evaluations.py   results of evaluations, joined with the rows they are about

The laws of this package: a span that comes twice is one row; unknown is NULL, never 0; money is a whole number of 1e-12
currency units, so sums are exact; no prompt, completion or other content is stored.
"""
