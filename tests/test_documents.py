"""Links in the documents lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "collector-config/*.md", "benchmarks/*.md")
    for path in PROJECT.glob(pattern)
)
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """What the headings are called in links: lower case, words joined by hyphens, no punctuation."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in HEADING.findall(document.read_text())
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_link_leads_to_a_file_and_a_heading_of_the_project(document: Path):
    wrong = []
    for target, anchor in LINK.findall(document.read_text()):
        path = (document.parent / target).resolve() if target else document
        if not path.exists() or not path.is_relative_to(PROJECT) or (anchor and anchor not in anchors(path)):
            wrong.append(f"{target}#{anchor}" if anchor else target)
    assert wrong == []


def test_the_readme_links_to_every_document():
    linked = {(PROJECT / target).resolve() for target, _ in LINK.findall((PROJECT / "README.md").read_text())}
    documents = set((PROJECT / "docs").glob("*.md"))
    assert documents - linked == set()
