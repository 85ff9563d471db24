"""``python -m lightning_lr``: the command ``lightning-lr``."""

import sys

from lightning_lr.cli import main

if __name__ == "__main__":
    sys.exit(main())
