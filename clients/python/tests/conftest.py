"""Lets tests import the scripted server beside them, under the name mypy knows it by."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))
