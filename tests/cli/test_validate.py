from __future__ import annotations

from pathlib import Path

import pytest

from otel_llm.cli.main import main
from tests.config.documents import SMALL


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(SMALL)
    return path


def test_a_right_configuration_is_shown(file: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["validate", "--config", str(file)]) == 0
    assert capsys.readouterr() == (
        f"ok: {file}\n\npipeline  receivers  processors  exporters\ntraces    otlp       -           otlp_http\n",
        "",
    )


def test_the_defaults_are_right_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert main(["validate"]) == 0
    assert "traces    otlp       normalize, cost, quality, metrics  debug, ledger\n" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_warnings_go_to_standard_error(file: Path, capsys: pytest.CaptureFixture[str]):
    file.write_text("processors: {cost: }\n" + SMALL)
    assert main(["validate", "--config", str(file)]) == 0
    assert capsys.readouterr().err == (
        "warning: processors.cost: no pipeline names it, so it does nothing; add it to one or remove it\n"
    )


def test_every_problem_is_shown_and_the_exit_code_is_1(file: Path, capsys: pytest.CaptureFixture[str]):
    file.write_text(
        SMALL.replace("[otlp]", "[oltp]").replace("service:", "service:\n  telemetry: {metrics: {interval_seconds: 0}}")
    )
    assert main(["validate", "--config", str(file)]) == 1
    assert capsys.readouterr() == (
        "",
        (
            "otel-llm: 2 problems:\n"
            "  service.telemetry.metrics.interval_seconds: expected a number of at least 1, got the number 0\n"
            "  service.pipelines.traces.receivers[0]: no receiver 'oltp' in receivers; did you mean 'otlp'?\n"
        ),
    )


def test_what_only_making_a_component_shows_is_shown_too(file: Path, capsys: pytest.CaptureFixture[str]):
    text = SMALL.replace("exporters:", "processors: {cost: {prices: [/nowhere.yaml]}}\nexporters:", 1)
    text = text.replace("otlp:\n", "otlp: {protocols: {http: {tls: {cert_file: /no.pem, key_file: /no.key}}}}\n", 1)
    file.write_text(text.replace("[otlp]", "[otlp]\n      processors: [cost]"))
    assert main(["validate", "--config", str(file)]) == 1
    problems = capsys.readouterr().err
    assert "\n  processors.cost.prices[0]: cannot read /nowhere.yaml" in problems


def test_an_exporter_that_cannot_be_made_is_shown(file: Path, capsys: pytest.CaptureFixture[str]):
    file.write_text(SMALL.replace("https://otlp.example.com", "https://e\n    tls: {ca_file: /nowhere.pem}"))
    assert main(["validate", "--config", str(file)]) == 1
    assert "exporters.otlp_http.tls.ca_file: " in capsys.readouterr().err
    file.write_text(SMALL.replace("https://otlp.example.com", ""))
    assert main(["validate", "--config", str(file)]) == 1
    assert "exporters.otlp_http" in capsys.readouterr().err


def test_no_file_of_an_exporter_is_made(file: Path, tmp_path: Path):
    text = SMALL.replace("otlp_http", "file").replace("endpoint: https://otlp.example.com", f"path: {tmp_path}/out")
    file.write_text(text)
    assert main(["validate", "--config", str(file)]) == 0
    assert list(tmp_path.iterdir()) == [file]


def test_processors_in_the_wrong_order_are_refused(file: Path, capsys: pytest.CaptureFixture[str]):
    text = SMALL.replace("exporters:", "processors: {cost: , normalize: }\nexporters:", 1)
    file.write_text(text.replace("[otlp]", "[otlp]\n      processors: [cost, normalize]"))
    assert main(["validate", "--config", str(file)]) == 1
    problems = capsys.readouterr().err
    assert "  service.pipelines.traces.processors: cost reads gen_ai." in problems
    assert "put normalize before cost" in problems


def test_overrides_are_checked_with_the_file(file: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["validate", "--config", str(file), "--set", "service.telemetry.metrics.interval_seconds=0"]) == 1
    assert "service.telemetry.metrics.interval_seconds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("tls: {cert_file: /no.pem, key_file: /no.key}", ["tls.cert_file: cannot read", "tls.key_file: cannot read"]),
        ("auth: {keys_file: /no.keys}", ["auth.keys_file: cannot read /no.keys"]),
        (
            "auth: {keys: [{token: not-from-a-variable}]}",
            ["auth.keys[0].token: expected ${env:NAME}, got a secret itself"],
        ),
    ],
)
def test_files_of_tls_and_keys_are_looked_into(
    file: Path, capsys: pytest.CaptureFixture[str], section: str, said: list[str]
):
    file.write_text(SMALL.replace("otlp:\n", f"otlp: {{protocols: {{http: {{{section}}}}}}}\n", 1))
    assert main(["validate", "--config", str(file)]) == 1
    problems = capsys.readouterr().err
    assert [line for line in said if f"receivers.otlp.protocols.http.{line}" not in problems] == []
    assert "not-from-a-variable" not in problems


def test_files_that_could_not_be_written_are_shown_and_none_is_made(file: Path, capsys: pytest.CaptureFixture[str]):
    folder = file.parent
    (folder / "notes.txt").write_text("no ledger at all")
    paths = {"file": folder, "file/b": folder / "notes.txt" / "x", "ledger": folder / "notes.txt"}
    exporters = "".join(f"  {id_}: {{path: {path}}}\n" for id_, path in paths.items())
    text = SMALL.replace("exporters:\n", f"exporters:\n{exporters}  ledger/new: {{path: {folder}/a/b/new.db}}\n", 1)
    queue = f"sending_queue: {{disk: {{directory: {folder}/notes.txt/q}}}}"
    text = text.replace("endpoint: https://otlp.example.com", f"endpoint: https://e\n    {queue}")
    file.write_text(text.replace("exporters: [otlp_http]", "exporters: [otlp_http, file, file/b, ledger, ledger/new]"))
    before = sorted(folder.rglob("*"))
    assert main(["validate", "--config", str(file)]) == 1
    problems = capsys.readouterr().err
    assert f"exporters.file.path: {folder} is a folder; give a file in it" in problems
    assert f"exporters.file/b.path: {folder}/notes.txt is a file, so" in problems
    assert f"exporters.ledger.path: {folder}/notes.txt is no SQLite file" in problems
    assert f"exporters.otlp_http.sending_queue.disk.directory: {folder}/notes.txt is a file, so" in problems
    assert "ledger/new.path" not in problems
    assert sorted(folder.rglob("*")) == before


def test_a_file_to_be_read_that_is_not_there_is_shown(file: Path, capsys: pytest.CaptureFixture[str]):
    text = SMALL.replace("receivers:\n", "receivers:\n  file: {path: /nowhere.jsonl}\n", 1)
    file.write_text(text.replace("receivers: [otlp]", "receivers: [file]"))
    assert main(["validate", "--config", str(file)]) == 1
    assert "receivers.file.path: cannot read /nowhere.jsonl; give a file, or set follow" in capsys.readouterr().err


def test_a_connector_that_does_not_fit_is_shown(file: Path, capsys: pytest.CaptureFixture[str]):
    routing = (
        "connectors:\n  routing: {table: [{when: {a: b}, pipelines: [traces/a]}], default_pipelines: [traces/b]}\n"
    )
    out = "    traces/a: {receivers: [routing], exporters: [otlp_http]}\n"
    file.write_text(routing + SMALL.replace("exporters: [otlp_http]", "exporters: [routing]") + out)
    assert main(["validate", "--config", str(file)]) == 1
    assert "connectors.routing.default_pipelines: no pipeline 'traces/b' has 'routing'" in capsys.readouterr().err
