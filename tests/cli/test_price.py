from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from otel_llm.cli.main import main
from otel_llm.cli.price import unix_nano

AT = ["--at", "2026-11-20"]


def test_a_call_is_explained_line_by_line(capsys: pytest.CaptureFixture[str]):
    arguments = ["price", "gpt-4o", "--provider", "openai", "--input", "1000", "--output", "20", "--cache-read", "200"]
    assert main([*arguments, *AT]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("model: openai/gpt-4o")
    assert [line.split()[0] for line in lines[2:]] == ["input", "cache_read", "output", "total"]
    assert lines[-1].endswith("= 0.00245 USD")


def test_an_unknown_model_is_unpriced_with_its_reason_and_exit_code_1(capsys: pytest.CaptureFixture[str]):
    assert main(["price", "nobodys-model-7", "--input", "5", *AT]) == 1
    assert "unpriced (unknown_model)" in capsys.readouterr().out


def test_no_usage_is_unpriced_and_not_free(capsys: pytest.CaptureFixture[str]):
    assert main(["price", "gpt-4o", *AT]) == 1
    assert "unpriced (no_usage)" in capsys.readouterr().out


def test_the_users_own_prices_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "prices.yaml"
    file.write_text(
        "models:\n  - {provider: vllm, model: own, prices: [{rates: {input: '3', output: '6'}}]}\n"
        "aliases:\n  - {name: prod, provider: vllm, model: own}\n"
    )
    arguments = [
        "price",
        "prod",
        "--provider",
        "vllm",
        "--input",
        "1000000",
        "--output",
        "1000000",
        "--prices",
        str(file),
    ]
    assert main([*arguments, *AT]) == 0
    assert capsys.readouterr().out.rstrip().endswith("= 9 USD")


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "cannot be read: "), ("models: [", "cannot be read: "), ("modells: []", "modells")],
)
def test_a_wrong_price_file_is_reported(
    tmp_path: Path, content: str | None, problem: str, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "prices.yaml"
    if content is not None:
        file.write_text(content)
    assert main(["price", "gpt-4o", "--input", "5", "--prices", str(file)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"otel-llm: a problem:\n  --prices {file}: ")
    assert problem in error


@pytest.mark.parametrize(
    "arguments",
    [["--input", "-5"], ["--input", "1.5"], ["--input", "٣"], ["--at", "yesterday"], ["--at", "2026-13-01"]],
)
def test_a_wrong_number_or_date_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["price", "gpt-4o", *arguments])
    assert ended.value.code == 2
    assert "expected a" in capsys.readouterr().err


def test_prices_are_those_of_the_day(capsys: pytest.CaptureFixture[str]):
    for moment, total in (("2025-06-09", "10 USD"), ("2025-06-10", "2 USD"), ("2025-06-10T01:00+02:00", "10 USD")):
        main(["price", "o3", "--provider", "openai", "--input", "1000000", "--output", "0", "--at", moment])
        assert capsys.readouterr().out.rstrip().endswith(f"= {total}")


def test_a_moment_is_exact_to_the_microsecond():
    moment = dt.datetime(2026, 11, 20, 12, 0, 0, 123457, tzinfo=dt.UTC)
    assert unix_nano(moment) == 1795176000123457000


def test_a_model_that_another_provider_lists_is_said_to_be_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "prices.yaml"
    file.write_text("models:\n  - {provider: my-gpus, model: own-7b, prices: [{rates: {input: '3', output: '6'}}]}\n")
    assert main(["price", "Own-7b", "--input", "5", "--output", "5", "--prices", str(file), *AT]) == 1
    assert "it is listed at my-gpus: say so with --provider" in capsys.readouterr().out


def test_what_can_never_apply_in_a_price_file_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "prices.yaml"
    file.write_text("aliases:\n  - {name: prod, provider: azure.ai.openai, model: gpt-99}\n")
    main(["price", "gpt-4o", "--input", "5", "--output", "5", "--prices", str(file), *AT])
    assert "aliases: 'prod' stands for azure/gpt-99, which is in no price list" in capsys.readouterr().err


def test_an_unknown_tier_is_said_beside_incomplete_usage(capsys: pytest.CaptureFixture[str]):
    main(["price", "gpt-4o-mini", "--provider", "openai", "--input", "100", "--tier", "weird", *AT])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("partial (incomplete_usage)")
    assert lines[-1].startswith("also (no_price_for_tier)")
