"""Shared by all tests: the run of tests/runs.py is importable, and Lightning is quiet."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # several workers, and processes of theirs, share the cores
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
