"""The shell's door: the ``liverseg`` command."""

from liverseg.cli.main import main

__all__ = ["main"]
