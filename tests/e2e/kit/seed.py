"""Chance that can be had again: `STREAMER_SEED=7 pytest tests/e2e`."""

import os
import random

LONG = os.environ.get("STREAMER_CHAOS") == "long"
"""Whether this is `make chaos`: many more rounds of everything."""
SEED = os.environ.get("STREAMER_SEED", "20261123")


def chance(test: str) -> random.Random:
    """Give a test's own source of chance, and say how to have it again."""
    print(f"STREAMER_SEED={SEED} of {test}")  # noqa: T201 - shown where the test fails
    return random.Random(f"{SEED}/{test}")


def rounds(short: int, long: int) -> int:
    """Give the number for this form of the tests."""
    return long if LONG else short
