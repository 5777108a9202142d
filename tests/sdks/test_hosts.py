"""Hosts that fork, spawn, reload and freeze, with hooks on. Acceptance 33, 34, 35, 46 and 47.

Every call is one span that arrives once, the tokens of all processes add up to the provider's, and nothing hangs.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from otel_llm.testing import unused_port
from tests.sdks.running import APPS, EXEC, PATIENCE_SECONDS, World, accepts, wait_for, world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

REQUESTS = 12


@pytest.fixture
def here() -> Iterator[World]:
    with world() as found:
        yield found


def need(module: str) -> None:
    pytest.importorskip(module, reason=f"{module} is not installed; see tests/sdks/README.md")


@contextmanager
def started(here: World, module: str, *arguments: str, folder: Path = APPS, **more: str) -> Iterator[subprocess.Popen]:
    """A program of Python's under `otel-llm exec`, ended by SIGTERM as a supervisor does."""
    command = [*EXEC, "-m", module, *arguments]
    process = subprocess.Popen(command, cwd=folder, env=here.environment(**more), start_new_session=True)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def each_call_arrived_once(here: World) -> None:
    spans = here.spans()
    assert len({span.span_id for span in spans}) == len(spans) == len(here.provider.served())
    assert here.tokens() == here.served_tokens()


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["plain", "preload"])
def test_33_gunicorn(here, preload):
    """A call before the fork is its parent's, each worker has its own service.instance.id."""
    need("gunicorn")
    port = unused_port()
    options = ("-w", "2", "-b", f"127.0.0.1:{port}", "--max-requests", "4", *preload)
    with started(here, "gunicorn", *options, "web_app:wsgi", ASK_AT_IMPORT="yes"):
        wait_for(lambda: accepts(port))
        for number in range(REQUESTS):
            assert get(port, f"/{number}")
    each_call_arrived_once(here)
    assert len(here.spans()) >= REQUESTS + 1
    assert len({span.resource["service.instance.id"] for span in here.spans()}) > 1


def test_47_uvicorn_with_workers(here):
    need("uvicorn")
    port = unused_port()
    with started(here, "uvicorn", "--port", str(port), "--workers", "2", "--log-level", "warning", "web_app:asgi"):
        wait_for(lambda: accepts(port))
        for number in range(REQUESTS):
            assert get(port, f"/{number}")
    each_call_arrived_once(here)
    assert len(here.spans()) == REQUESTS


def test_47_uvicorn_that_reloads(here, tmp_path):
    """The first request after each start is traced, and the parent that reloads makes none."""
    need("uvicorn")
    port = unused_port()
    app = tmp_path / "web_app.py"
    text = (APPS / "web_app.py").read_text()
    app.write_text(text)
    options = ("--port", str(port), "--reload", "--reload-delay", "0.1", "--log-level", "warning", "web_app:asgi")
    with started(here, "uvicorn", *options, folder=tmp_path):
        for number in range(3):
            app.write_text(text.replace("openai.OpenAI()", f"openai.OpenAI(timeout={number + 10})"))
            # The old one answers until the new one is there, so the new one says which it is.
            wait_for(lambda: accepts(port))
            assert get(port, f"/{number}")
    each_call_arrived_once(here)
    assert len(here.spans()) == 3


@pytest.mark.parametrize("kind", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("how", ["pool", "executor", "process"])
def test_33_multiprocessing(here, kind, how):
    done = here.run([*EXEC, str(APPS / "pools_app.py"), f"{kind}-{how}"])
    assert (done.code, done.err) == (0, "")
    each_call_arrived_once(here)
    assert len(here.spans()) == 7


@pytest.mark.parametrize("options", [(), ("--max-tasks-per-child", "1")], ids=["kept", "recycled"])
def test_33_celery_prefork(here, tmp_path, options):
    need("celery")
    (tmp_path / "control").mkdir()
    environment = {"BROKER_FOLDER": str(tmp_path)}
    send = "import celery_app; [celery_app.ask.delay(str(number)) for number in range(6)]"
    subprocess.run([sys.executable, "-c", send], cwd=APPS, env=here.environment(**environment), check=True)
    arguments = ("-A", "celery_app", "worker", "-P", "prefork", "-c", "2", "--loglevel", "WARNING", *options)
    with started(here, "celery", *arguments, **environment):
        wait_for(lambda: len(here.provider.served()) == 6)
    each_call_arrived_once(here)


NOTEBOOK = ["import otel_llm; otel_llm.instrument()", "import web_app; web_app.ask('one')", "web_app.ask('two')"]


def test_46_a_notebook_whose_cells_run_again(here, tmp_path):
    need("nbclient")
    need("ipykernel")
    cells = [
        {"cell_type": "code", "execution_count": None, "id": str(number), "metadata": {}, "outputs": [], "source": text}
        for number, text in enumerate([*NOTEBOOK, *NOTEBOOK])
    ]
    notebook = tmp_path / "notebook.ipynb"
    notebook.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    script = "import sys; from jupyter_core.command import main; sys.argv[1:] = ['execute', *sys.argv[1:]]; main()"
    done = here.run(
        [*EXEC, "-c", script, str(notebook), "--kernel_name=python3"],
        PYTHONPATH=str(APPS),
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    )
    assert done.code == 0, done.err
    each_call_arrived_once(here)
    assert len(here.spans()) == 4


class Runtime(ThreadingHTTPServer):
    """AWS Lambda's runtime API: hands out events, and looks at what has arrived when an answer is posted."""

    daemon_threads = True

    def __init__(self, events: list[object], arrived: Callable[[], int]) -> None:
        super().__init__(("127.0.0.1", 0), _RuntimeHandler)
        self.events = events
        self.arrived = arrived
        self.posted: list[tuple[str, int]] = []
        self.is_done = threading.Event()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


class _RuntimeHandler(BaseHTTPRequestHandler):
    server: Runtime
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        number = len(self.server.posted)
        if number == len(self.server.events):
            self.server.is_done.set()
            threading.Event().wait(PATIENCE_SECONDS)  # frozen
            return
        body = json.dumps(self.server.events[number]).encode()
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", str(number))
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + 60_000))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-central-1:1:function:app")
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.posted.append((self.path.rpartition("/")[2], self.server.arrived()))
        self.send_response(202)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
        """Quiet."""


def test_35_aws_lambda_is_sent_what_it_made_before_it_answers(here):
    """It is frozen, here killed, once it has answered."""
    if importlib.util.find_spec("awslambdaric") is None:
        pytest.skip("awslambdaric is not installed; see tests/sdks/README.md")
    with Runtime([{}, {}, {"fail": True}], lambda: len(here.spans())) as runtime:
        command = [*EXEC, "-m", "awslambdaric", "lambda_app.handler"]
        environment = here.environment(
            AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{runtime.server_address[1]}",
            AWS_LAMBDA_FUNCTION_NAME="app",
            PYTHONPATH=str(APPS),
        )
        process = subprocess.Popen(command, env=environment, cwd=APPS, stdout=subprocess.DEVNULL)
        try:
            assert runtime.is_done.wait(PATIENCE_SECONDS)
        finally:
            process.kill()
            process.wait()
        runtime.shutdown()
    assert runtime.posted == [("response", 1), ("response", 2), ("error", 2)]
    each_call_arrived_once(here)
