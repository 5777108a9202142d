from __future__ import annotations

import hypothesis
import pytest

from tests.certificates import Certificates, make_certificates

# A deadline would make each of these a timed test, which fails when the machine is busy.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("pem"))
