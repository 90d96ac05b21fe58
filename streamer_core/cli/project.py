"""The project that a command works on, loaded no further than the command needs."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import click

from streamer_core.app import Streamer
from streamer_core.ports import Clock, SystemClock
from streamer_core.ports.detached import Detached
from streamer_core.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Unstarted:
    """What a plugin is given as its application while only its commands are wanted."""

    settings: Settings
    clock: Clock


class Project:
    """Settings, and the application they make.

    Args:
        config: the settings' file, or None: found here or in a parent folder.
    """

    def __init__(self, config: Path | None = None) -> None:
        self.config = config

    @cached_property
    def settings(self) -> Settings:
        """As loaded; raises ConfigurationError."""
        return Settings.load(self.config)

    @property
    def thawed(self) -> Settings:
        """The settings without the frozen file, so that a stale one does not hinder its renewal."""
        core = replace(self.settings.core, frozen=None)
        return replace(self.settings, core=core)

    @property
    def unstarted(self) -> Unstarted:
        """What plugins are made with where no store is opened."""
        return Unstarted(settings=self.settings, clock=SystemClock())

    def open(self) -> Streamer:
        """Open the store beside whoever serves it: no handlers, no clients, no start-up hooks."""
        return Streamer(self.settings, transport=Detached(), load_handlers=False)

    def open_whole(self, settings: Settings | None = None) -> Streamer:
        """Load the handlers too."""
        return Streamer(settings or self.settings, transport=Detached())


pass_project = click.make_pass_decorator(Project, ensure=True)
