"""No two identities share a key."""

from hypothesis import assume, given
from hypothesis import strategies as st

from streamer_core.model.ids import ref_of, request_subject, topic_subject

text = st.text(st.characters(), max_size=6)
identity = st.tuples(text, text, text)


@given(identity, identity)
def test_other_identity_other_ref(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assume(one != other)
    assert ref_of(*one) != ref_of(*other)


def test_parts_cannot_move() -> None:
    assert ref_of("ab", "c", "d") != ref_of("a", "bc", "d")


@given(identity)
def test_a_ref_is_32_hex_digits(one: tuple[str, str, str]) -> None:
    ref = ref_of(*one)
    assert len(ref) == 32
    assert set(ref) <= set("0123456789abcdef")
    assert request_subject(ref) == f"request/{ref}"


@given(st.tuples(text, text), st.tuples(text, text))
def test_other_tenant_other_topic(one: tuple[str, str], other: tuple[str, str]) -> None:
    assume(one != other)
    assert topic_subject(*one) != topic_subject(*other)


def test_a_slash_does_not_move_a_tenant() -> None:
    assert topic_subject("a/b", "c") != topic_subject("a", "b/c")
