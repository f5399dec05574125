"""``python -m hvmlite`` is the command ``hvmlite``."""

from __future__ import annotations

import sys

from hvmlite.cli import main

if __name__ == "__main__":
    sys.exit(main())
