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
from otel_llm.review.session import LABELS, Session, about

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
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>otel-llm review</title><style>
:root { color-scheme: light dark; --text: #1d1d1b; --muted: #5c5c58; --paper: #fff; --box: #f4f4f1; --line: #8a8a85; }
@media (prefers-color-scheme: dark) {
  :root { --text: #ececea; --muted: #b0b0ab; --paper: #1a1a19; --box: #272725; --line: #85857f; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--paper); max-width: 52rem;
  margin: 0 auto; padding: 0 1rem; }
header { display: flex; flex-wrap: wrap; gap: .2rem 1rem; align-items: baseline; padding: 1rem 0 .2rem; }
h1 { font-size: 1.1rem; margin: 0; outline: none; }
h2 { font-size: .85rem; color: var(--muted); margin: 1rem 0 .3rem; }
progress { flex: 1; min-width: 6rem; height: .5rem; accent-color: #2f6f4f; }
ul { list-style: none; display: flex; flex-wrap: wrap; gap: .3rem .5rem; padding: 0; margin: .4rem 0;
  font-size: .85rem; }
li { border: 1px solid var(--line); border-radius: 1rem; padding: 0 .6rem; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--box); border-radius: .4rem;
  padding: .8rem 1rem; }
footer { position: sticky; bottom: 0; background: var(--paper); border-top: 1px solid var(--line); margin-top: 1rem;
  padding: .7rem 0; display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; }
button { font: inherit; color: inherit; background: var(--box); padding: .45rem 1.1rem; border: 1px solid var(--line);
  border-radius: .4rem; cursor: pointer; }
button:hover { border-color: currentColor; }
button:focus-visible { outline: 3px solid #3b7dd8; outline-offset: 2px; }
button:disabled { opacity: .5; cursor: wait; }
kbd { font: inherit; color: var(--muted); border: 1px solid var(--line); border-radius: .2rem; padding: 0 .35rem;
  margin-left: .4rem; }
#keys { margin-left: auto; color: var(--muted); font-size: .85rem; }
#message { font-weight: bold; }
[hidden] { display: none !important; }
</style></head><body>
<header><h1 id="title" tabindex="-1" aria-live="polite">Loading</h1><progress id="done" max="1" value="0"
aria-label="Cases done"></progress></header>
<p id="message" role="alert" hidden></p>
<main id="case" hidden>
<ul id="about" aria-label="About this answer"></ul>
<h2 id="asked">Question</h2><div class="text" id="question" dir="auto" role="group" aria-labelledby="asked"></div>
<h2 id="answered">Answer</h2><div class="text" id="answer" dir="auto" role="group" aria-labelledby="answered"></div>
<footer role="group" aria-label="Is this a good answer?">
<button data-label="good" aria-keyshortcuts="g">Good<kbd aria-hidden="true">g</kbd></button>
<button data-label="bad" aria-keyshortcuts="b">Bad<kbd aria-hidden="true">b</kbd></button>
<button data-label="unsure" aria-keyshortcuts="u">Unsure<kbd aria-hidden="true">u</kbd></button>
<button data-label="" aria-keyshortcuts="s">Skip<kbd aria-hidden="true">s</kbd></button>
<label id="keys"><input type="checkbox" id="letters" checked> letters as shortcuts</label>
</footer></main>
<script>
const token = location.search, letters = {g: "good", b: "bad", u: "unsure", s: ""};
const at = (id) => document.getElementById(id);
let number = 0, waits = false;
function wait(on) {
  waits = on;
  for (const button of document.querySelectorAll("button")) button.disabled = on;
}
function tell(text) { at("message").textContent = text; at("message").hidden = !text; }
function show(item) {
  at("case").hidden = item === null;
  if (item === null) {
    at("title").textContent = "Nothing left to review. You may close this page.";
    at("done").value = 1;
    return;
  }
  number = item.number;
  at("title").textContent = "Is this a good answer? " + item.number + " of " + item.total;
  at("done").value = (item.number - 1) / item.total;
  at("about").replaceChildren(...item.about.map((text) => {
    const entry = document.createElement("li");
    entry.textContent = text;
    return entry;
  }));
  at("question").textContent = item.question || "(nothing)";
  at("answer").textContent = item.answer;
  scrollTo(0, 0);
}
async function next(request) {
  if (waits) return;
  wait(true);
  try {
    const reply = await fetch("/case" + token, request);
    if (reply.ok) { show(await reply.json()); tell(""); }
    else tell("The label was not taken (" + reply.status + "). Try again.");
  } catch (error) {
    tell("No answer: otel-llm review does not run any more. Labels up to here are kept.");
  }
  wait(false);
}
const label = (word) => next({method: "POST", headers: {"content-type": "application/json"},
  body: JSON.stringify({number: number, label: word || null})});
document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) label(button.dataset.label).then(() => at("title").focus());
});
document.addEventListener("keydown", (event) => {
  const key = event.key.toLowerCase();
  if (!at("letters").checked || at("case").hidden || event.repeat) return;
  if (key in letters && !event.ctrlKey && !event.metaKey && !event.altKey) label(letters[key]);
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
    calls = f"\n\ncalls {', '.join(content.tool_calls)}" if content.tool_calls else ""
    return {
        "number": item.number,
        "total": item.total,
        "about": about(item),
        "question": content.question,
        "answer": content.answer + calls,
    }
