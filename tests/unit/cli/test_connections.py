from pathlib import Path

from streamer_core import Principal
from streamer_core.model.connection import Connection
from tests.unit.cli.tools import Lines, Run, Seeded


def test_no_connections(run: Run, project: Path) -> None:
    result = run("connections")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no connections\n")


def test_connections(run: Run, seeded: Seeded, lines: Lines) -> None:
    for name, tenant in (("c-1", "acme"), ("c-2", "other")):
        principal = Principal(user="ann", tenant=tenant)
        connection = Connection(
            id=name, principal=principal, address="::1", connected_at=1_000, expires_at=2**45
        )
        seeded.app.store.put_connection(connection)
    head, first, _ = run("connections").stdout.splitlines()
    assert head.split() == ["ID", "TENANT", "USER", "ADDRESS", "CONNECTED", "UNTIL"]
    assert first.split()[:4] == ["c-1", "acme", "ann", "::1"]
    assert [one["id"] for one in lines("connections", "--tenant", "other")] == ["c-2"]
    assert len(lines("connections", "--tenant", "acme", "--user", "ann")) == 1
    assert len(lines("connections", "--limit", "1")) == 1


def test_that_a_user_needs_a_tenant(run: Run, project: Path) -> None:
    assert run("connections", "--user", "ann").exit_code == 2
