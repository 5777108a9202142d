"""The lean Collector can be built from its manifest, and has what the manifest says."""

from __future__ import annotations

import subprocess

import yaml

from tests.collector_config.collector import COLLECTOR_MARKS, MANIFEST, binary

pytestmark = COLLECTOR_MARKS


def test_the_collector_is_built_with_every_module_of_the_manifest():
    said = subprocess.run([binary(), "components"], capture_output=True, text=True, check=True, timeout=60).stdout
    has = {
        one["module"]
        for kind in ("receivers", "processors", "exporters", "extensions")
        for one in yaml.safe_load(said)[kind]
    }
    manifest = yaml.safe_load(MANIFEST.read_text())
    wanted = {one["gomod"] for kind in ("receivers", "processors", "exporters", "extensions") for one in manifest[kind]}
    assert has == wanted
