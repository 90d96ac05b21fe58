"""What a journey asks of AWS does not rise unnoticed, and stays within its bounds."""

import pytest

from tests.e2e.aws.cloud import Cloud
from tests.e2e.aws.costs import page
from tests.e2e.aws.costs.journeys import IDLE_HOUR, Journey


@pytest.fixture(scope="module")
def journeys(cloud: Cloud) -> list[Journey]:
    return page.walked(cloud.address)


def test_the_page_says_what_is_counted(journeys: list[Journey]) -> None:
    assert page.written(journeys) == page.PAGE.read_text("utf-8"), "`make cost` writes it anew"


def test_messages_stay_within_their_bound(journeys: list[Journey]) -> None:
    for journey in journeys:
        if journey.messages:
            assert page.cost(journey) / journey.messages <= page.MESSAGE_BOUND, journey


def test_connections_stay_within_their_aim(journeys: list[Journey]) -> None:
    assert page.cost(page.named(journeys, IDLE_HOUR)) <= page.HOUR_AIM
