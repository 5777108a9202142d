"""Generates docs/configuration.md and collector-config/schema.json from the Configs of our components.

python -m tools.configuration.generate           write what has changed
python -m tools.configuration.generate --check   write nothing; exit 1 and name every file that is stale
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from otel_llm.components import KINDS
from otel_llm.config.schema import configuration_schema, installed_types
from tools.configuration.render import missing_examples, render

PROJECT = Path(__file__).resolve().parents[2]


def outputs() -> dict[str, str]:
    """Path below the project root -> text."""
    types = installed_types(built_in_only=True)
    missing = missing_examples(one for kind in KINDS for one in types[kind])
    if missing:
        raise SystemExit(f"no example for {', '.join(missing)}; add one to tools/configuration/examples.py")
    return {
        "docs/configuration.md": render(types),
        "collector-config/schema.json": json.dumps(configuration_schema(types), indent=2, ensure_ascii=False) + "\n",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check; 1 when a check finds something stale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail when something is stale")
    options = parser.parse_args(arguments)
    stale = {name: text for name, text in outputs().items() if _read(name) != text}
    for name, text in stale.items():
        if options.check:
            print(f"{name} is stale; run python -m tools.configuration.generate")
        else:
            (PROJECT / name).parent.mkdir(exist_ok=True)
            (PROJECT / name).write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    return 1 if stale and options.check else 0


def _read(name: str) -> str | None:
    path = PROJECT / name
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
