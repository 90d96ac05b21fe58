"""One deployment for all scenarios: to make it takes as long as most of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.aws.cloud import Cloud
from tests.emulators import CREDENTIALS, ministack

PROJECT = Path(__file__).with_name("project")


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        folder = tmp_path_factory.mktemp("ministack")
        with ministack(folder, AUTH="true") as address:  # CREDENTIALS are the account's root
            yield Cloud(
                address,
                PROJECT,
                folder,
                STREAMER_LEASE="5s",
                STREAMER_HEARTBEAT="1s",
                STREAMER_PLUGINS__APIGATEWAY__FAN_OUT="1",
            )
