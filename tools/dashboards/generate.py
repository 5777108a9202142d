"""Generates collector-config/grafana/dashboards/*.json.

python -m tools.dashboards.generate           write what has changed
python -m tools.dashboards.generate --check   write nothing; exit 1 and name every file that is stale
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tools.dashboards.budgets import BUDGETS
from tools.dashboards.cost import COST
from tools.dashboards.errors import ERRORS
from tools.dashboards.gateway import GATEWAY
from tools.dashboards.grafana import render
from tools.dashboards.latency import LATENCY
from tools.dashboards.policy import POLICY
from tools.dashboards.quality import QUALITY

FOLDER: Final = Path(__file__).resolve().parents[2] / "collector-config" / "grafana" / "dashboards"
DASHBOARDS: Final = (COST, LATENCY, ERRORS, POLICY, QUALITY, BUDGETS, GATEWAY)


def outputs() -> dict[str, str]:
    """File name -> text."""
    return {f"{one.name}.json": json.dumps(render(one), indent=1, ensure_ascii=False) + "\n" for one in DASHBOARDS}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check; 1 when a check finds something stale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail when something is stale")
    options = parser.parse_args(arguments)
    present = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    wanted = outputs()
    stale = sorted(name for name in present.keys() | wanted.keys() if present.get(name) != wanted.get(name))
    for name in stale:
        if options.check:
            print(f"{name} is stale; run python -m tools.dashboards.generate")
        elif name in wanted:
            FOLDER.mkdir(parents=True, exist_ok=True)
            (FOLDER / name).write_text(wanted[name])
            print(f"wrote {name}")
        else:
            (FOLDER / name).unlink()
            print(f"removed {name}")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
