"""Small values with versions."""

import pytest

from streamer_core.errors import Conflict
from streamer_core.ports import Store, Value
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.store.base import StoreRules


class ValueRules(StoreRules):
    """Rules about small values."""

    def test_a_value_is_given_back_with_its_version(self, store: Store) -> None:
        """The version that the write returned."""
        version = store.put_value("key", {"a": [1, None, "x"]})
        assert store.get_value("key") == Value(data={"a": [1, None, "x"]}, version=version)

    def test_an_unknown_value_is_none(self, store: Store) -> None:
        """While a stored null is a value."""
        assert store.get_value("key") is None
        store.put_value("key", None)
        kept = store.get_value("key")
        assert kept is not None
        assert kept.data is None

    def test_each_write_gives_a_new_version(self, store: Store) -> None:
        """Greater than the one before, and than 0."""
        versions = [store.put_value("key", number) for number in range(3)]
        assert versions == sorted(set(versions))
        assert versions[0] > 0

    def test_a_write_over_its_version_succeeds_once(self, store: Store) -> None:
        """The second finds another version: Conflict, and the value stays."""
        version = store.put_value("key", "first")
        store.put_value("key", "second", version=version)
        with pytest.raises(Conflict):
            store.put_value("key", "third", version=version)
        kept = store.get_value("key")
        assert kept is not None
        assert kept.data == "second"

    def test_version_zero_means_there_is_none(self, store: Store) -> None:
        """Conflict where there is one."""
        store.put_value("key", 1, version=0)
        with pytest.raises(Conflict):
            store.put_value("key", 2, version=0)

    def test_a_version_needs_a_value(self, store: Store) -> None:
        """Conflict where none is stored, or it was deleted."""
        with pytest.raises(Conflict):
            store.put_value("key", 1, version=1)
        version = store.put_value("key", 1)
        store.delete_value("key")
        with pytest.raises(Conflict):
            store.put_value("key", 2, version=version)
        store.put_value("key", 3, version=0)

    def test_an_expired_value_is_none_to_a_condition(
        self, store: Store, clock: ManualClock
    ) -> None:
        """It can be written as new, and not over its version."""
        version = store.put_value("key", 1, expires_at=clock.now() + 10)
        clock.advance(10)
        with pytest.raises(Conflict):
            store.put_value("key", 2, version=version)
        store.put_value("key", 3, version=0)
        kept = store.get_value("key")
        assert kept is not None
        assert kept.data == 3

    def test_a_write_sets_the_expiry_anew(self, store: Store, clock: ManualClock) -> None:
        """Without one the value is kept."""
        store.put_value("key", 1, expires_at=clock.now() + 10)
        store.put_value("key", 2)
        clock.advance(20)
        assert store.get_value("key") is not None

    def test_a_deleted_value_is_gone(self, store: Store) -> None:
        """Deleting what is not there is no error."""
        store.put_value("key", 1)
        store.delete_value("key")
        store.delete_value("key")
        assert store.get_value("key") is None

    def test_values_are_listed_by_prefix(self, store: Store) -> None:
        """The prefix is text: no character of it means anything else."""
        keys = ["a/1", "a/2", "ab", "a%x", "a_x", "A/1", "a*", "a[1]", "ä/1", "a\uffff1", "a🦆1"]
        for key in keys:
            store.put_value(key, key)
        for prefix in ["", "a", "a/", "a%", "a_", "A", "a*", "a[", "ä", "a\uffff", "a🦆", "zz"]:
            found = store.values(prefix)
            assert set(found) == {key for key in keys if key.startswith(prefix)}
            assert all(value.data == key for key, value in found.items())

    def test_listed_values_have_their_versions(self, store: Store) -> None:
        """The same as `get_value` gives."""
        for _ in range(2):
            store.put_value("a", 1)
        assert store.values("a")["a"] == store.get_value("a")

    def test_listing_is_bounded(self, store: Store) -> None:
        """At most `limit`."""
        for number in range(5):
            store.put_value(f"key/{number}", number)
        assert len(store.values("key/", limit=3)) == 3

    def test_a_list_is_read_page_by_page(self, store: Store) -> None:
        """In the order of the keys; after the last key of a page comes the next page."""
        names = ["0", "07", "1", "A", "Z", "a", "z", "/", "~", "-x", "ä", "\uffff", "🦆"]
        for name in [*names, "elsewhere"]:
            store.put_value(name if name == "elsewhere" else f"key/{name}", name)
        seen: list[str] = []
        while page := store.values("key/", limit=4, after=seen[-1] if seen else None):
            assert len(page) <= 4
            seen += page
        assert sorted(seen) == sorted(f"key/{name}" for name in names)
        assert [key for key, _ in store.all_values("key/")] == seen
        plain = [key for key in seen if key.removeprefix("key/").isalnum() and key.isascii()]
        assert plain == sorted(plain)

    def test_a_page_may_begin_anywhere(self, store: Store) -> None:
        """After a key that is not stored, or that is none of this list."""
        for name in "bdf":
            store.put_value(f"key/{name}", name)
        for after, found in {
            "key/a": "bdf",
            "key/b": "df",
            "key/c": "df",
            "key/dd": "f",
            "key/f": "",
            "a": "bdf",
            "z": "",
        }.items():
            page = store.values("key/", after=after)
            assert "".join(value.data for value in page.values()) == found, after
        assert list(store.values("", after="key/d")) == ["key/f"]

    def test_sixty_four_kilobytes_fit(self, store: Store) -> None:
        """Of JSON, as promised."""
        data = "x" * (64 * 1024 - 2)
        store.put_value("key", data)
        kept = store.get_value("key")
        assert kept is not None
        assert kept.data == data
