"""The two marks of pluggy that hook specifications and implementations carry."""

import pluggy

PROJECT = "streamer"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
