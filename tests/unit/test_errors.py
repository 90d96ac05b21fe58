"""What a handler may call its own errors."""

import pytest

from streamer_core import Reject


@pytest.mark.parametrize("code", ["billing.card_declined", "a.b", "a.b.c-d:e_1", "x." + "y" * 126])
def test_codes_of_a_handlers_own(code: str) -> None:
    error = Reject(code, "No", details={"n": 1})
    assert (error.code, error.message, error.details) == (code, "No", {"n": 1})
    assert str(error) == f"{code}: No"


@pytest.mark.parametrize(
    "code", ["", "NOT_FOUND", ".a", "a.", "a..b", "a b.c", "a.b\n", "ä.b", "x." + "y" * 127]
)
def test_codes_that_cannot_be(code: str) -> None:
    with pytest.raises(ValueError, match="needs a dot"):
        Reject(code, "No")
