"""``python -m chemomech``: the same as the command ``chemomech``."""

from __future__ import annotations

import sys

from chemomech.cli import main

if __name__ == "__main__":
    sys.exit(main())
