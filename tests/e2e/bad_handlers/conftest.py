"""A gateway whose handlers misbehave."""

from collections.abc import Iterator

import pytest

from tests.e2e.kit.stand import Stand

_MEMORY_MB = 300


@pytest.fixture(scope="module")
def bad_stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Serve trouble; a worker that holds the interpreter or is stopped is noticed within 3 s."""
    stand = Stand(
        tmp_path_factory.mktemp("bad") / "stand",
        core={"handlers": ["tests.e2e.project.jobs", "tests.e2e.project.trouble"]},
        local={
            "sync_workers": 2,
            "async_workers": 2,
            "worker_memory_mb": _MEMORY_MB,
            "stall_timeout": "3s",
        },
    )
    stand.start()
    yield stand
    stand.close()
