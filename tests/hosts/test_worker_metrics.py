"""Metrics of several workers in one answer."""

from __future__ import annotations

from otel_llm.hosts.worker_metrics import merged_text

OWN = "# HELP up Is it up.\n# TYPE up gauge\nup 1.0\n"
ONE = """\
# HELP items_total Items {of} all kinds.
# TYPE items_total counter
items_total{signal="traces"} 3.0
items_total{signal="a{b} c"} 1.0
# HELP size Size.
# TYPE size gauge
size 7.0
"""


def test_every_family_stands_once_and_every_series_says_whose_it_is() -> None:
    text = merged_text(OWN, {"1": ONE, "2": ONE.replace("3.0", "4.0")})
    assert (
        text
        == """\
# HELP up Is it up.
# TYPE up gauge
up 1.0
# HELP items_total Items {of} all kinds.
# TYPE items_total counter
items_total{otel_llm_worker_id="1",signal="traces"} 3.0
items_total{otel_llm_worker_id="1",signal="a{b} c"} 1.0
items_total{otel_llm_worker_id="2",signal="traces"} 4.0
items_total{otel_llm_worker_id="2",signal="a{b} c"} 1.0
# HELP size Size.
# TYPE size gauge
size{otel_llm_worker_id="1"} 7.0
size{otel_llm_worker_id="2"} 7.0
"""
    )


def test_a_worker_that_says_nothing_leaves_the_others_as_they_are() -> None:
    assert merged_text(OWN, {"1": ""}) == OWN
    assert 'id="2",' in merged_text(OWN, {"1": "", "2": ONE})
