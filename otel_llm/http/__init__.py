"""A small HTTP/1.1 server for telemetry: few routes, big bodies, hostile clients.

    message.py      a request, a response, and the error that is an answer
    head.py         request line and header fields: bytes in, Head out; no I/O
    chunked.py      the chunked transfer coding: bytes in, body out; no I/O
    sized.py        a body of known length, without a fresh block of memory for each
    connection.py   one connection on the event loop: framing, order, limits, deadlines
    shared.py       what the connections of a server share: limits, accounts, the sweep for deadlines
    server.py       sockets, TLS, the thread with the event loop, graceful shutdown
    defects.py      how a defect is told in a log
    allocator.py    keeps large blocks of memory at hand

The law of this package: a connection never holds more than it was sent, never answers out of order, and whatever it
cannot read without doubt it refuses with 400 and closes. There is one opinion on where a request ends, or none.
Source: RFC 9110 (semantics), RFC 9112 (message syntax).
"""
