"""`python -m streamer_plugin_local`: the same as `streamer dev`."""

from streamer_plugin_local.command import dev

if __name__ == "__main__":
    dev(prog_name="streamer dev")
