"""Where a client may put its token."""

import pytest

from streamer_core.model.connection import token_in


@pytest.mark.parametrize(
    ("headers", "query", "token"),
    [
        ({"authorization": "Bearer a.b"}, {}, "a.b"),
        ({"authorization": "bearer a"}, {"token": "q"}, "a"),
        ({"authorization": "Basic a"}, {}, None),
        ({"sec-websocket-protocol": "streamer.v1, bearer.a.b"}, {}, "a.b"),
        ({"sec-websocket-protocol": "bearer.a"}, {}, None),
        ({"sec-websocket-protocol": "streamer.v1"}, {"Authorization": "q"}, "q"),
        ({}, {"token": "q"}, "q"),
        ({}, {}, None),
    ],
)
def test_the_token_is_found(
    headers: dict[str, str], query: dict[str, str], token: str | None
) -> None:
    assert token_in(headers, query, allow_query=True) == token


def test_the_query_is_not_looked_at_unless_that_is_allowed() -> None:
    assert token_in({}, {"token": "q", "Authorization": "q"}, allow_query=False) is None
