"""Shared by all tests: the run of tests/runs.py is importable, and Lightning is quiet."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
