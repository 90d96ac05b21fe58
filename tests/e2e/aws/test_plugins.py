"""Production plugins in the functions, each of which may do what the template allows its role."""

import pytest

from tests.e2e.aws.cloud import Cloud
from tests.e2e.aws.kit import joined, scenario

pytestmark = pytest.mark.timeout(180)


@scenario
async def test_a_limit_holds_on_all_connections(cloud: Cloud) -> None:
    async with joined(cloud) as one, joined(cloud) as other:
        answers = [await wire.ask("scarce") for wire in (one, other, one)]
        assert [answer["type"] for answer in answers] == ["response", "response", "error"]
        assert answers[-1]["error"]["code"] == "RATE_LIMITED"


@scenario
async def test_a_circuit_opens(cloud: Cloud) -> None:
    async with joined(cloud) as wire:
        codes = [(await wire.ask("fragile"))["error"]["code"] for _ in range(3)]
        assert codes == ["PROCESSING_FAILED", "PROCESSING_FAILED", "CIRCUIT_OPEN"]
