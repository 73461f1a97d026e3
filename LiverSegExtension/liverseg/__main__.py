"""``python -m liverseg``: the same as the ``liverseg`` command."""

import sys

from liverseg.cli import main

if __name__ == "__main__":
    sys.exit(main())
