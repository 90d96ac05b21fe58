"""The store: one SQLite file, shared by the processes of one machine."""

from contextlib import suppress

from streamer_core.ports import Feed
from streamer_plugin_sqlite.claims import ClaimVerbs
from streamer_plugin_sqlite.connections import ConnectionVerbs
from streamer_plugin_sqlite.feed import SqliteFeed
from streamer_plugin_sqlite.holding import HoldingVerbs
from streamer_plugin_sqlite.requests import RequestVerbs
from streamer_plugin_sqlite.small import SmallVerbs
from streamer_plugin_sqlite.sweeping import SweepingVerbs


class SqliteStore(
    ConnectionVerbs, RequestVerbs, ClaimVerbs, HoldingVerbs, SweepingVerbs, SmallVerbs
):
    """The whole port on one file. See `Base` for how to open it.

    ```python
    store = SqliteStore(".streamer/streamer.db", SystemClock())
    ```
    """

    def check(self) -> None:
        """Write a row and read it again; raises StoreError where that fails."""
        now = self.clock.now()
        self._write(
            lambda db: db.execute("INSERT OR REPLACE INTO probe (id, at) VALUES (1, ?)", (now,))
        )
        self._read(lambda db: db.execute("SELECT at FROM probe").fetchone())

    def open_feed(self) -> Feed:
        """Read the changes from now on."""
        self._check_process()
        bell = self._bells.open()
        try:
            feed = SqliteFeed(self._readers, bell, self._forget_feed)
        except BaseException:
            bell.close()
            raise
        self._feeds.append(feed)
        return feed

    def close(self) -> None:
        """Let go of files and threads; writes under way are finished first."""
        if self._inherited():
            return
        for feed in tuple(self._feeds):
            feed.close()
        self._sent.close()
        self._writer.close()
        self._readers.close()
        if self._log is not None:
            self._log.close()
        self._bells.close()

    def _forget_feed(self, feed: SqliteFeed) -> None:
        with suppress(ValueError):
            self._feeds.remove(feed)
