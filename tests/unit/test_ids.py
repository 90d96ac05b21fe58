"""No two identities share a key."""

from hypothesis import assume, given
from hypothesis import strategies as st

from streamer_core.model.ids import (
    ref_of,
    request_subject,
    tenant_key,
    tenant_of,
    tenant_part,
    topic_subject,
)

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


@given(identity, identity)
def test_a_ref_begins_with_its_tenant(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    ref, beside = ref_of(*one), ref_of(one[0], *other[1:])
    assert ref[:8] == beside[:8] == tenant_part(one[0])
    assert (one[1:] == other[1:]) == (ref[8:] == beside[8:])
    assert (one[0] == other[0]) == (tenant_part(one[0]) == tenant_part(other[0]))


@given(st.tuples(text, text), st.tuples(text, text))
def test_other_tenant_other_topic(one: tuple[str, str], other: tuple[str, str]) -> None:
    assume(one != other)
    assert topic_subject(*one) != topic_subject(*other)


def test_a_slash_does_not_move_a_tenant() -> None:
    assert topic_subject("a/b", "c") != topic_subject("a", "b/c")


@given(text, text)
def test_a_tenants_key_says_whose_it_is(tenant: str, rest: str) -> None:
    assert tenant_of(tenant_key("kind", tenant)) == tenant
    assert tenant_of(tenant_key("kind", tenant, rest)) == tenant
    assert tenant_of(topic_subject(tenant, rest)) == tenant


def test_other_keys_are_no_tenants() -> None:
    for key in (
        "",
        "kind",
        "kind/4",
        "kind/x/acme",
        "kind/5/acme",
        "kind/3/acme",
        "request/f00d",
        "k/" + "9" * 5000,
    ):
        assert tenant_of(key) is None
