"""A request under way on a terminal: a bar that moves, output above it, the result at the end."""

from types import TracebackType

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text
from streamer_client import Acknowledgment, Chunk, Complete
from streamer_client import Progress as Snapshot

from streamer_core.cli.text import clean, compact, pretty
from streamer_core.cli.view import Message, View, line, remark

_json = JSONHighlighter()


class LiveView(View):
    """A rich progress bar. What comes from the server is never read as markup."""

    def __init__(self, request_id: str, title: str) -> None:
        super().__init__(request_id)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False, style="bold"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[remark]}", markup=False),
            console=Console(highlight=False),
        )
        self._task = self._bar.add_task(clean(title), total=None, remark="")

    def __enter__(self) -> "LiveView":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the bar where it stands."""
        self._bar.stop()

    def show(self, message: Message) -> None:
        """Move the bar, or print above it."""
        match message:
            case Acknowledgment():
                self._say(Text(clean(line(self.request_id, message)), style="dim"))
            case Snapshot():
                self._move(message)
            case Chunk():
                self._say(_json(compact(message.data)))
            case Complete():
                self._bar.update(self._task, total=100, completed=100, remark="")
                self._bar.refresh()
                self._say(_json(pretty(message.result)))
            case _:
                self._say(Text(line(self.request_id, message), style="yellow"))

    def _move(self, snapshot: Snapshot) -> None:
        text = clean(remark(snapshot))
        if snapshot.attempt > 1:
            text = f"(attempt {snapshot.attempt}) {text}"
        self._bar.update(self._task, total=100, completed=snapshot.percentage, remark=text)

    def _say(self, text: Text) -> None:
        self._bar.console.print(text, soft_wrap=True)
