"""Have people look at answers, and keep what they say.

Cases come from files that the `file` exporter wrote: those where signals, judges and users disagree, those where
somebody was unsure, and some at random. Labels go into the ledger as evaluation results of the kind `human`. Start it
again to go on: what you have labelled does not come back.
"""

from __future__ import annotations

import argparse
import getpass
import secrets
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from otel_llm.clock import SystemClock
from otel_llm.errors import ConfigError
from otel_llm.ledger.store import Ledger
from otel_llm.review.cases import Content, read_contents
from otel_llm.review.page import review_server
from otel_llm.review.session import Session
from otel_llm.review.terminal import review

_MOST_CASES: Final = 10_000
_MOST_RESULTS: Final = 200_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "files", metavar="FILE", nargs="+", type=Path, help="OTLP JSON lines, as the file exporter writes"
    )
    parser.add_argument(
        "--ledger",
        metavar="FILE",
        default="otel-llm-ledger.db",
        help="where labels go: a file, or postgresql://… with PGPASSWORD (default: %(default)s)",
    )
    parser.add_argument("--name", default="review", help="what the evaluation is called (default: %(default)s)")
    parser.add_argument("--reviewer", metavar="WHO", help="who is labelling (default: the user's login name)")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="cases at most (default: %(default)s)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--web", action="store_true", help="in a browser on this machine instead of the terminal")
    how.add_argument("--export", metavar="FILE", type=Path, help="write the labelled cases as JSON lines and end")
    parser.add_argument("--port", type=int, default=0, help="of the page (default: any free one)")


def run(options: argparse.Namespace) -> int:
    """Review, or export.

    Raises:
        ConfigError: a file or the ledger cannot be used.
    """
    ledger = Ledger(options.ledger)
    try:
        contents = read_contents(options.files, ledger.evaluations(limit=_MOST_RESULTS), _MOST_CASES)
        if options.export is not None:
            return _export(options.export, contents, options.name)
        reviewer = options.reviewer or getpass.getuser()
        session = Session(
            contents, ledger, name=options.name, reviewer=reviewer, limit=options.limit, clock=SystemClock()
        )
        if options.web:
            _serve(session, options.port)
        else:
            review(session, sys.stdin, sys.stdout)
        print(f"\n{session.labelled} labelled as {reviewer}, in {ledger.place}")
        return 0
    finally:
        ledger.close()


def _serve(session: Session, port: int) -> None:
    """Serve the page until Ctrl-C."""
    token = secrets.token_urlsafe(24)
    server = review_server(session, token, port)
    try:
        server.start()
    except OSError as error:
        raise ConfigError([f"--port {port}: cannot listen ({error.strerror}); choose another"]) from error
    print(f"open http://127.0.0.1:{server.port}/?token={token}\nstop with Ctrl-C", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return
    finally:
        server.shutdown(1.0)


def _export(path: Path, contents: Sequence[Content], name: str) -> int:
    lines = [line for content in contents for line in _labelled(content, name)]
    try:
        path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    except OSError as error:
        raise ConfigError([f"--export {path}: cannot be written ({error.strerror}); choose another"]) from error
    print(f"{len(lines)} labelled cases in {path}")
    return 0


def _labelled(content: Content, name: str) -> list[dict[str, object]]:
    """One line for each label that a person gave."""
    key = content.case.key
    return [
        {
            "id": f"{key[:16].hex()}:{key[16:].hex()}",
            "input": content.question,
            "output": content.answer,
            "label": one.label,
            "score": one.score,
            "reviewer": one.evaluator_id,
            "model": content.model,
            "service": content.service,
            "prompt": content.prompt,
            "flags": content.case.flags,
        }
        for one in content.case.opinions
        if one.source == "human" and one.name == name
    ]
