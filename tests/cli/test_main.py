from __future__ import annotations

import subprocess
import sys

import pytest

from otel_llm import __version__
from otel_llm.cli.main import main

COMMANDS = ["run", "validate", "price", "review", "demo", "config-schema", "version"]


def imported_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after running the code."""
    lines = f"import sys\n{code}\nprint('\\nMODULES', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.rpartition("\nMODULES")[2].split())


@pytest.mark.parametrize(
    "code",
    [
        "import otel_llm",
        "from otel_llm.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from otel_llm.cli.main import main\nmain(['price', 'gpt-4o', '--input', '5', '--output', '5'])",
        "import otel_llm.components",
    ],
)
def test_what_needs_no_grpc_and_no_protobuf_does_not_import_them(code: str):
    assert not {"grpc", "google.protobuf", "yaml"} & imported_by(code)


def test_help_imports_no_command():
    code = "from otel_llm.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    ours = {name for name in imported_by(code) if name.startswith("otel_llm")}
    assert ours == {"otel_llm", "otel_llm.cli", "otel_llm.cli.main", "otel_llm.errors"}


def test_help_lists_every_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert all(f"\n    {command} " in text or f"\n    {command}\n" in text for command in COMMANDS)
    assert "exit codes: 0 done; 1" in text


def test_nothing_asked_for_shows_the_help_and_is_wrong_usage(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"usage: otel-llm {command} " in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["prce"], ["--nope"], ["price"], ["validate", "extra"], ["run", "--conf", "x"]])
def test_a_wrong_command_line_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: otel-llm")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"otel-llm {__version__}\n"
    assert main(["version"]) == 0
    assert f"otel-llm           {__version__}\n" in capsys.readouterr().out


def test_a_reader_that_has_seen_enough_is_no_crash():
    command = f"{sys.executable} -m otel_llm.cli.main config-schema | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("{\n", "")
