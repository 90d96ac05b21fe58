"""The table of metrics in docs/operations.md is what is emitted: names, units, tags."""

from streamer_core.model.call import Metric
from tests.docs.test_pages import code, table
from tests.unit.every_path import rig_of, walk


def emitted() -> list[Metric]:
    rig = rig_of()
    walk(rig)
    return [told["metric"] for told in rig.seen.of("metric")]


def _names(cell: str) -> set[str]:
    return {code(tag) for tag in cell.split(", ")}


def test_the_table_is_what_is_emitted() -> None:
    listed = {
        code(row[0]): (row[1], set() if row[2].startswith("|") else _names(row[2]))
        for row in table("operations.md", "metric")
    }
    found = {one.name: (one.unit, set(one.tags)) for one in emitted()}
    assert found == listed


def test_a_metric_is_the_same_wherever_it_is_measured() -> None:
    shapes = {(one.name, one.unit, tuple(sorted(one.tags))) for one in emitted()}
    assert len(shapes) == len({name for name, _, _ in shapes})


def test_no_tag_is_what_a_client_wrote() -> None:
    values = {value for one in emitted() for value in one.tags.values()}
    assert "any text of a client" not in values
    assert not {"acme", "ann", "ok", "quick.no"} & values
