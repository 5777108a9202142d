"""What the image's recipe does, done here without an engine: both stages' commands, and a run as the stack runs it.

The base images are left out: this machine's Python stands for theirs. The run has what the container has: another user,
a file system that cannot be written but for the data folder, no capabilities, and a network of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.collector_config.test_compose import CONFIG, DOCKERFILE, PROJECT, SERVICES, copied

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
_TOOLS = ("unshare", "setpriv", "mount", "ip")

# In namespaces of its own: nothing can be written but the data folder; then the gateway as the image's user.
_RUN = """
set -eu
mount --make-rprivate /
mount --bind "$DATA" "$DATA"
if [ -n "$HIDDEN" ]; then  # this machine's Python lies where only root may look: shown, and nothing else of it
    mount --bind "$PYTHON" "$HOLD"
    mount -t tmpfs -o mode=755 tmpfs "$HIDDEN"
    mkdir -p "$PYTHON"
    mount --bind "$HOLD" "$PYTHON"
fi
mount -o remount,bind,ro /
ip link set lo up
as_user="setpriv --reuid $OWNER --regid $OWNER --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all"
cd "$DATA"
if $as_user touch "$OUTSIDE/written" 2>/dev/null; then echo "the file system can be written"; exit 3; fi
$as_user "$BIN/otel-llm" run --config "$GATEWAY" &
gateway=$!
tries=0
until $as_user "$BIN/otel-llm" "$@"; do
    tries=$((tries + 1))
    [ $tries -lt 60 ] || { echo "the health check never succeeded"; exit 4; }
    sleep 1
done
kill -TERM "$gateway"
wait "$gateway"
"""


def _run(command: Sequence[str], **options: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900, **options)  # type: ignore[call-overload] # cwd and env
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that every user may look into, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="otel-llm-image-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture(scope="module")
def installed(folder: Path) -> Path:
    """The programs of the final stage: the wheel of what is copied, installed from the wheels alone."""
    source = folder / "source"
    source.mkdir()
    for name in copied():
        if (PROJECT / name).is_dir():
            shutil.copytree(
                PROJECT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "_compiled.*.so")
            )
        else:
            shutil.copy(PROJECT / name, source / name)
    wheels = folder / "wheels"
    extras = re.search(r"pip wheel .*'\.(\[[\w,]+\])'", DOCKERFILE)[1]
    assert f"'otel-llm{extras}'" in DOCKERFILE, "what is installed is what wheels were made for"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    _run([*pip, "wheel", "--quiet", "--wheel-dir", str(wheels), f".{extras}"], cwd=source)
    _run([sys.executable, "-m", "venv", "--copies", str(folder / "final")])
    programs = folder / "final" / "bin"
    pip = [str(programs / "python"), "-m", "pip", "--disable-pip-version-check"]
    _run([*pip, "install", "--quiet", "--no-index", f"--find-links={wheels}", f"otel-llm{extras}"])
    return programs


def test_the_wheel_has_everything_and_the_compiled_reader(installed: Path):
    said = _run([str(installed / "otel-llm"), "version"])
    assert "otel-llm" in said
    assert list((installed.parent / "lib").glob("python*/site-packages/otel_llm/codecs/_compiled.*.so"))


def test_the_gateway_of_the_stack_runs_as_nobody_on_a_read_only_file_system_and_its_health_check_answers(
    installed: Path, folder: Path
):
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root and {', '.join(missing) or 'nothing else'}: it makes namespaces and changes users")
    owner = int(re.search(r"^USER (\d+):", DOCKERFILE, re.MULTILINE)[1])
    data, hold = folder / "data", folder / "hold"
    data.mkdir()
    hold.mkdir()
    os.chown(data, owner, owner)
    shutil.copy(CONFIG / "gateway-stack.yaml", folder / "gateway.yaml")
    gateway = SERVICES["gateway"]
    environment = {
        "PATH": os.environ["PATH"],
        **gateway["environment"],
        "OTEL_LLM_DATA": str(data),
        "DATA": str(data),
        "OUTSIDE": str(folder),
        "OWNER": str(owner),
        "PYTHON": sys.base_prefix,
        "HOLD": str(hold),
        "HIDDEN": "" if _can_be_run_by(owner, installed) else f"/{Path(sys.base_prefix).parts[1]}",
        "BIN": str(installed),
        "GATEWAY": str(folder / "gateway.yaml"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    check = gateway["healthcheck"]["test"]
    assert check[:2] == ["CMD", "otel-llm"]
    said = _run(["unshare", "--mount", "--net", "sh", "-c", _RUN, "sh", *check[2:]], env=environment)
    assert "otlp_grpc/collector" in said or "ready" in said, said
    written = {path.name for path in data.iterdir()}
    assert {"otel-llm-queue", "otel-llm-ledger.db", "otel-llm-budget.db"} <= written
    assert {path.stat().st_uid for path in data.rglob("*")} == {owner}


def _can_be_run_by(owner: int, installed: Path) -> bool:
    command = ["setpriv", "--reuid", str(owner), "--regid", str(owner), "--clear-groups"]
    return not subprocess.run(
        [*command, str(installed / "otel-llm"), "version"], check=False, capture_output=True
    ).returncode
