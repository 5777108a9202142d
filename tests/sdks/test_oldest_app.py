"""The oldest OpenAI, Anthropic and OpenTelemetry SDKs that are claimed, in an app. Acceptance 44."""

from __future__ import annotations

import pytest

from tests.sdks.running import APPS, EXEC, PLAIN, tree, world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CALLS, FAILED = 11, 2


def test_44_every_way_to_ask_is_one_span_and_the_app_sees_the_same():
    for module in ("openai", "anthropic"):
        pytest.importorskip(module)
    app = str(APPS / "both_app.py")
    with world() as here:
        bare = here.run([*PLAIN, app])
        before = here.served_tokens()
        done = here.run([*EXEC, app])
        spans = here.spans()
        assert (done.code, done.out, done.err) == (bare.code, bare.out, bare.err)
        assert bare.code == 0
        assert len(spans) == len({span.span_id for span in spans}) == CALLS, tree(spans)
        assert len(here.priced()) == CALLS - FAILED, tree(spans)
        assert here.tokens() == here.served_tokens() - before
