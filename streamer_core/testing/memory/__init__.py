"""The parts of `streamer_core.testing.store.MemoryStore`, one concern a file."""
