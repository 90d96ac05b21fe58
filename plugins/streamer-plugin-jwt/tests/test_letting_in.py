"""Whom a token lets in, and as whom."""

from collections.abc import Callable
from typing import Any

OpenDoor = Callable[..., Any]


def test_x(door: OpenDoor) -> None:
    d = door()
    p = d.let_in(d.sign(scope="a b"))
    assert p.user == "ada"
    assert p.scopes == {"a", "b"}
