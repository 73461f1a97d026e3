"""What the scripts that run inside 3D Slicer share: finding the engine, running it, and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path


def run_engine(arguments: list[str]) -> int:
    """Run a ``liverseg`` command in this Python; returns its exit code."""
    _find_engine()
    from liverseg.cli import main

    try:
        return main(arguments)
    except SystemExit as usage:
        # argparse has said what is wrong.
        return usage.code if isinstance(usage.code, int) else 2


def end(main: Callable[[list[str]], int]) -> None:
    """Run a script's main function and end the process, or the application, with its exit code."""
    try:
        code = main(sys.argv[1:])
    except SystemExit as usage:
        code = usage.code if isinstance(usage.code, int) else 2
    except ImportError as error:
        sys.stderr.write(f"a package is missing ({error}); press Apply once in the LiverSeg module\n")
        code = 2
    application = _application()
    if application is None:
        sys.exit(code)
    # An exit code that is only raised would leave the application waiting for its event loop.
    application.util.exit(code)


def _find_engine() -> None:
    """Put the source tree's packages on the path, unless an installed extension has them already."""
    packages = Path(__file__).resolve().parents[1] / "LiverSegExtension"
    if (packages / "liverseg" / "__init__.py").is_file():
        sys.path.insert(0, str(packages))


def _application() -> object | None:
    """The module ``slicer`` inside the application, None outside of it (slicer-core has no application)."""
    slicer = sys.modules.get("slicer")
    return slicer if slicer is not None and getattr(slicer, "app", None) is not None else None
