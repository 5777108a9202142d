"""Human review: cases from files of telemetry, labels into the ledger.

    cases.py      operations with their content, and what is known of them
    session.py    the queue of one person: the next case, a label for it
    terminal.py   asks in the terminal
    page.py       asks in a browser, on this machine

The ledger holds no content. It is read from the files that the `file` exporter writes, which exist only where somebody
has decided to keep content.
"""
