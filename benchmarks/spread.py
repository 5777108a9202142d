"""How evenly the kernel spreads connections over processes that listen on one port (SO_REUSEPORT).

    python -m benchmarks.spread

For numbers of workers and connections: the share of the connections that came to the busiest worker, mean and 90th
percentile over 60 runs; in how many runs a worker got none; and how many times the work of one worker all of them do
when every connection sends equally much and the busiest worker has all that it can take.
"""

from __future__ import annotations

import contextlib
import socket
import statistics

RUNS = 60
WORKERS = (2, 4, 8)
CONNECTIONS = (2, 4, 8, 16, 32, 64, 128)


def spread(workers: int, connections: int) -> list[int]:
    """How many connections each worker got."""
    with contextlib.ExitStack() as stack:
        listening: list[socket.socket] = []
        for _ in range(workers):
            port = listening[0].getsockname()[1] if listening else 0
            one = stack.enter_context(socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind(("127.0.0.1", port))
            one.listen(256)
            one.settimeout(0)
            listening.append(one)
        for _ in range(connections):
            stack.enter_context(socket.create_connection(listening[0].getsockname()))
        return [_waiting(one) for one in listening]


def _waiting(listening: socket.socket) -> int:
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            listening.accept()[0].close()
            count += 1
    return count


def main() -> None:
    print(f"{'workers':>8}{'connections':>13}{'busiest':>9}{'p90':>7}{'one has none':>14}{'times one':>11}")
    for workers in WORKERS:
        for connections in CONNECTIONS:
            runs = [spread(workers, connections) for _ in range(RUNS)]
            busiest = sorted(max(run) / connections for run in runs)
            idle = sum(min(run) == 0 for run in runs) / RUNS
            mean = statistics.mean(busiest)
            p90 = busiest[int(RUNS * 0.9)]
            print(f"{workers:8}{connections:13}{mean:9.2f}{p90:7.2f}{idle:14.0%}{1 / mean:11.2f}")


if __name__ == "__main__":
    main()
