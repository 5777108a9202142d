"""What a price costs: CPU time of a warm quote beside genai_prices.calc_price in the same run, and of loading.

Run: python benchmarks/price.py. CPU time, minimum of several rounds; compare ratios, not machines.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import gc
import importlib.metadata
import platform
import subprocess
import sys
import time
from collections.abc import Callable

import genai_prices

from otel_llm.cost import Catalogue, Usage, estimate_tokens
from otel_llm.cost.recent import Recent

NOW = dt.datetime(2026, 11, 18, 12, tzinfo=dt.UTC)
AT = int(NOW.timestamp()) * 10**9
ROUNDS = 7


def cpu_microseconds(function: Callable[[], object], number: int) -> float:
    """The least CPU time of one call over several rounds."""
    function()
    gc.disable()
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time_ns()
        for _ in range(number):
            function()
        best = min(best, (time.process_time_ns() - start) / number)
    gc.enable()
    return best / 1000


def cases(catalogue: Catalogue):
    """(name, our call, theirs or None)."""
    text, cached = Usage(1000, 100), Usage(1000, 100, cache_read=500, cache_write=100)
    audio = Usage(2000, 900, input_audio=1500, output_audio=800)
    theirs_text = genai_prices.Usage(input_tokens=1000, output_tokens=100)
    theirs_cached = genai_prices.Usage(
        input_tokens=1000, output_tokens=100, cache_read_tokens=500, cache_write_tokens=100
    )
    theirs_audio = genai_prices.Usage(
        input_tokens=2000, output_tokens=900, input_audio_tokens=1500, output_audio_tokens=800
    )
    quote, calc = catalogue.quote, genai_prices.calc_price

    def peer(usage, model, provider):
        return lambda: calc(usage, model, provider_id=provider, genai_request_timestamp=NOW)

    yield "text", lambda: quote("openai", "gpt-4o", text, AT), peer(theirs_text, "gpt-4o", "openai")
    yield (
        "prompt cache",
        lambda: quote("anthropic", "claude-opus-5", cached, AT),
        peer(theirs_cached, "claude-opus-5", "anthropic"),
    )
    yield (
        "context tiers",
        lambda: quote("google", "gemini-2.5-pro", text, AT),
        peer(theirs_text, "gemini-2.5-pro", "google"),
    )
    yield (
        "peak hours",
        lambda: quote("deepseek", "deepseek-v4-pro", text, AT),
        peer(theirs_text, "deepseek-v4-pro", "deepseek"),
    )
    yield (
        "audio (general path)",
        lambda: quote("openai", "gpt-realtime", audio, AT),
        peer(theirs_audio, "gpt-realtime", "openai"),
    )
    yield "unknown model", lambda: quote("openai", "nothing", text, AT), lambda: _lookup_error(theirs_text)
    quoted = quote("anthropic", "claude-opus-5", cached, AT)
    yield "amounts by attribute", lambda: quoted.amounts, None
    yield "building a Usage", lambda: Usage(1000, 100, 500, 100), None

    def cold():
        catalogue._recent = Recent(10)
        quote("aws.bedrock", "us.anthropic.claude-opus-4-6-v1", text, AT)

    yield "quote, ids not seen lately", cold, None
    page = "The quick brown fox jumps over the lazy dog. " * 90
    yield f"estimate_tokens, {len(page)} characters", lambda: estimate_tokens(page), None


def _lookup_error(usage) -> None:
    with contextlib.suppress(LookupError):
        genai_prices.calc_price(usage, "nothing", provider_id="openai", genai_request_timestamp=NOW)


def load_milliseconds(statement: str) -> float:
    """The least CPU time of a statement in a fresh interpreter, without the interpreter's own start."""
    script = f"import time; start = time.process_time(); {statement}; print((time.process_time() - start) * 1000)"
    runs = (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True) for _ in range(5)
    )
    return min(float(run.stdout) for run in runs)


def main() -> None:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("genai-prices",))
    catalogue = Catalogue.load()
    print(f"Python {platform.python_version()}, {versions}, catalogue {catalogue.version}\n")
    print(f"{'CPU µs a call':36s}{'otel_llm':>10s}{'genai-prices':>14s}{'ratio':>8s}")
    for name, ours, theirs in cases(catalogue):
        mine = cpu_microseconds(ours, 20_000 if theirs else 2000)
        peer = cpu_microseconds(theirs, 300) if theirs else None
        print(f"{name:36s}{mine:10.2f}" + (f"{peer:14.1f}{peer / mine:8.0f}" if peer else ""))
    print(f"\n{'CPU ms in a fresh interpreter':36s}")
    load = "from otel_llm.cost import Catalogue; start = time.process_time(); Catalogue.load()"
    print(f"{'Catalogue.load()':36s}{load_milliseconds(load):10.1f}")
    print(f"{'import otel_llm.cost':36s}{load_milliseconds('import otel_llm.cost'):10.1f}")
    print(f"{'import genai_prices':36s}{load_milliseconds('import genai_prices'):10.1f}")


if __name__ == "__main__":
    main()
