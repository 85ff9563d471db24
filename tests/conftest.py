"""Shared by all tests: the run of tests/runs.py is importable, and Lightning is quiet."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from tensorboard.summary.writer import event_file_writer

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # several workers, and processes of theirs, share the cores
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

# TensorBoard reads a folder's files in the order of their names, which end with the second and a count of the process:
# of two that began in one second, ".10" would come before ".9"
event_file_writer._global_uid = event_file_writer.AtomicCounter(10**6)
