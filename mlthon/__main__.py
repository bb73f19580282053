"""`python -m mlthon`: see `mlthon.cli`."""

import sys

from mlthon.cli import main

if __name__ == "__main__":
    sys.exit(main())
