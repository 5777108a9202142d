from __future__ import annotations

import pytest

from tests.certificates import Certificates, make_certificates


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("pem"))
