"""The whole configurations in the documents are right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from otel_llm.clock import SystemClock
from otel_llm.hosts.stages import make_connectors
from otel_llm.telemetry import Metrics
from tests.config.documents import Folder

DOCS = Path(__file__).resolve().parents[2] / "docs"
# Variables without a default.
WANTED = re.compile(r"\$\{env:(\w+)\}")
EXAMPLES = [
    (str(path.relative_to(DOCS)), number, text)
    for path in sorted(DOCS.glob("**/*.md"))
    for number, text in enumerate(re.findall(r"```yaml\n(.*?)```", path.read_text(), re.DOTALL))
    if "\n  pipelines:" in text and "receivers:" in text
]


@pytest.mark.parametrize(("document", "number", "text"), EXAMPLES, ids=[f"{name}-{n}" for name, n, _ in EXAMPLES])
def test_a_whole_configuration_in_a_document_loads_without_a_warning(
    folder: Folder, document: str, number: int, text: str
):
    settings = folder.load(text, dict.fromkeys(WANTED.findall(text), "0123456789abcdef"))
    assert settings.warnings == (), (document, number)
    make_connectors(settings, Metrics(), SystemClock())


def test_there_are_examples():
    assert len(EXAMPLES) >= 6


def test_each_page_of_a_backend_has_a_whole_configuration_or_leads_to_one():
    pages = {path.name for path in (DOCS / "backends").glob("*.md")}
    shown = {name.removeprefix("backends/") for name, _, _ in EXAMPLES}
    file = re.compile(r"\(\.\./\.\./collector-config/gateway-\w+\.yaml\)")
    without = {name for name in pages - shown if not file.search((DOCS / "backends" / name).read_text())}
    assert len(pages) > 20
    assert without == set()
