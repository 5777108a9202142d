"""Review in a browser on this machine: one page, no other host.

Only who has the address with its token gets in: other pages in the same browser do not know it. Content is put into the
page as text, never as HTML, and the page may load nothing.
"""

from __future__ import annotations

import hmac
from typing import Final
from urllib.parse import parse_qs

import msgspec

from otel_llm.errors import LedgerError
from otel_llm.http.message import Request, Response, Route
from otel_llm.http.server import HttpServer, Settings
from otel_llm.review.session import LABELS, Session

_HTML: Final = "text/html; charset=utf-8"
_JSON: Final = "application/json"
_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "frame-ancestors 'none'"
)
_HEADERS: Final = (
    ("content-security-policy", _POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
)

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>otel-llm review</title><style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f6f6f4; padding: 1rem; font: inherit; }
h2 { font-size: .8rem; text-transform: uppercase; letter-spacing: .08em; color: #666; margin-bottom: 0; }
#about { color: #666; font-size: .9rem; }
button { font: inherit; padding: .5rem 1.2rem; margin-right: .5rem; border: 1px solid #999; background: #fff; }
button:hover, button:focus { background: #eee; }
</style></head><body>
<p id="about" aria-live="polite"></p>
<main id="case" hidden>
<h2>Question</h2><pre id="question"></pre>
<h2>Answer</h2><pre id="answer"></pre>
<p><button data-label="good">Good (g)</button><button data-label="bad">Bad (b)</button><button
data-label="unsure">Unsure (u)</button><button data-label="">Skip (s)</button></p>
</main>
<script>
const token = location.search, letters = {g: "good", b: "bad", u: "unsure", s: ""};
let number = 0;
const show = (id, text) => { document.getElementById(id).textContent = text; };
async function next(request) {
  const reply = await fetch("/case" + token, request);
  if (!reply.ok) { show("about", "The label was not taken (" + reply.status + "). Try again."); return; }
  const item = await reply.json();
  document.getElementById("case").hidden = item === null;
  if (item === null) { show("about", "Nothing left to review. You may close this page."); return; }
  number = item.number;
  show("about", item.number + " of " + item.total + " \\u00b7 " + item.about.join(" \\u00b7 "));
  show("question", item.question);
  show("answer", item.answer);
  scrollTo(0, 0);
}
const label = (word) => next({method: "POST", headers: {"content-type": "application/json"},
  body: JSON.stringify({number: number, label: word || null})});
document.addEventListener("click", (event) => {
  if (event.target.dataset.label !== undefined) label(event.target.dataset.label);
});
document.addEventListener("keydown", (event) => {
  if (event.key in letters && !event.ctrlKey && !event.metaKey && !event.altKey) label(letters[event.key]);
});
next({});
</script></body></html>
"""


class _Given(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the page sends."""

    number: int
    label: str | None


def review_server(session: Session, token: str, port: int = 0) -> HttpServer:
    """A server on 127.0.0.1, not started yet; the page is at `/?token=<token>`.

    Args:
        session: the review.
        token: what requests have to bring; make it random.
        port: 0 for any free one.
    """

    def page(request: Request) -> Response:
        if not _is_let_in(request, token):
            return Response(403, b"this page needs the whole address that the terminal shows\n", "text/plain")
        return Response(200, _PAGE.encode(), _HTML, _HEADERS)

    def case(request: Request) -> Response:
        if not _is_let_in(request, token):
            return Response(403)
        return Response(200, msgspec.json.encode(_shown(session)), _JSON, _HEADERS)

    def label(request: Request) -> Response:
        if not _is_let_in(request, token):
            return Response(403)
        try:
            given = msgspec.json.decode(request.body, type=_Given)
        except (msgspec.DecodeError, RecursionError):
            return Response(400)
        if given.label is not None and given.label not in LABELS:
            return Response(400)
        try:
            session.answer(given.number, next((one for one in LABELS if one == given.label), None))
        except LedgerError:
            return Response(503)
        return case(request)

    routes = {
        ("GET", "/"): Route(page),
        ("GET", "/case"): Route(case),
        # The ledger is a disk.
        ("POST", "/case"): Route(label, inline=lambda request: False),  # noqa: ARG005 - a predicate's signature
    }
    return HttpServer(routes, Settings(port=port, worker_threads=1, name="otel-llm-review"))


def _is_let_in(request: Request, token: str) -> bool:
    given = parse_qs(request.query).get("token", [""])[0]
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def _shown(session: Session) -> object:
    item = session.current()
    if item is None:
        return None
    content = item.content
    about = [content.model, content.service, content.prompt, item.queued.reason, *content.case.flags]
    about += [f"{one.name}: {one.label or one.score}" for one in content.case.opinions]
    calls = f"\n\ncalls {', '.join(content.tool_calls)}" if content.tool_calls else ""
    return {
        "number": item.number,
        "total": item.total,
        "about": [one for one in about if one],
        "question": content.question,
        "answer": content.answer + calls,
    }
