"""Budgets: how much may be spent by whom in which time, and what is known of it.

    money.py      amounts as whole numbers
    periods.py    days, months and rolling windows, as spans of time
    model.py      a Budget, and which calls are its
    batch.py      what goes to the store of counters in one trip, and what comes back; the store's Protocol
    book.py       sums that wait for the store, and what the store said last
    allowance.py  reservations for calls that are under way, out of leases from the store

The laws of this package: it does no I/O and asks nobody for the time; money is a whole number; what a call costs that
nobody can price is counted as a call without a price, never as 0; what is not known is None.
"""
