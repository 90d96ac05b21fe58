"""Values to attributes, and texts to keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamer_plugin_dynamodb.items import (
    MOST_BYTES,
    check_size,
    escaped,
    from_item,
    key,
    to_item,
)

from streamer_core.errors import ItemTooLarge

TEXT = st.text(st.characters(exclude_categories=()), max_size=20)  # half surrogate pairs, too
NUMBER = st.integers(-(10**37), 10**37) | st.floats(-1e100, 1e100).filter(
    lambda number: number == 0 or abs(number) > 1e-100
)


@given(st.dictionaries(st.sampled_from("abcdef"), NUMBER | st.text() | st.none()))
def test_values_come_back(plain: dict[str, object]) -> None:
    given = {name: value for name, value in plain.items() if value is not None}
    assert from_item(to_item(plain)) == given


def test_sets_come_back_and_kinds_that_are_not_known_are_left_out() -> None:
    item = to_item({"names": frozenset({"b", "a"})})
    assert item == {"names": {"SS": ["a", "b"]}}
    assert from_item({**item, "newer": {"M": {}}}) == {"names": frozenset({"a", "b"})}


@given(st.lists(TEXT, max_size=4), st.lists(TEXT, max_size=4))
def test_no_two_lists_of_texts_have_the_same_key(one: list[str], other: list[str]) -> None:
    assert (key(*one) == key(*other)) == (one == other or (not one and not other))


@given(TEXT.filter(bool), TEXT)
def test_what_begins_with_a_text_begins_with_it_escaped(first: str, rest: str) -> None:
    # A pair that the two halves make together is another character.
    if "\ud800" <= first[-1] <= "\udbff":
        return
    assert escaped(first + rest).startswith(escaped(first))


@given(TEXT)
def test_an_escaped_text_is_plain(text: str) -> None:
    assert escaped(text).isascii()
    assert "/" not in escaped(text)
    assert escaped(text)


def test_a_long_text_is_a_short_key() -> None:
    assert len(key("x" * 100_000)) < 300
    assert key("x" * 100_000) != key("x" * 100_001)


def test_an_item_is_too_large_by_its_names_and_values() -> None:
    check_size({"a": "x" * (MOST_BYTES - 1)}, "it")
    for too_large in ({"aa": "x" * (MOST_BYTES - 1)}, {"a": "ä" * (MOST_BYTES // 2)}):
        with pytest.raises(ItemTooLarge, match="the record has"):
            check_size(too_large, "the record")
