"""The same work on what a user would pick instead of Streamer."""
