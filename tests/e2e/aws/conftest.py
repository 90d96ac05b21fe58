"""One deployment for all scenarios: to make it takes as long as most of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.aws.cloud import Cloud
from tests.e2e.aws.tenant_tables import create_abroad, create_own
from tests.emulators import CREDENTIALS, ministack

PROJECT = Path(__file__).with_name("project")
SECRETS = {"JWT_SECRET": "any secret of thirty-two bytes and more"}
"""What the project's settings ask of the environment: the build's, and the functions'."""


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (CREDENTIALS | SECRETS).items():
            patch.setenv(name, value)
        folder = tmp_path_factory.mktemp("ministack")
        with ministack(folder, AUTH="true") as address:  # CREDENTIALS are the account's root
            deployed = Cloud(
                address,
                PROJECT,
                folder,
                **SECRETS,
                STREAMER_LEASE="5s",
                STREAMER_HEARTBEAT="1s",
                STREAMER_PLUGINS__APIGATEWAY__FAN_OUT="1",
            )
            create_own(deployed, PROJECT, "globex")
            create_abroad(deployed, PROJECT, "overseas", "what-overseas-was-told")
            yield deployed
