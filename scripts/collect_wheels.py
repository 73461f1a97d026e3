#!/usr/bin/env python3
"""Collect the wheels of the engine's packages, for a computer that is never online (docs/offline.md).

PythonSlicer scripts/collect_wheels.py wheels [--torch-index ADDRESS] [--without-export]

Needs pip and the network. PyTorch comes from its own index, which has builds for the CPU and for GPUs; what
needs PyTorch takes that build.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

TORCH = "torch>=2.8"
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
RESOURCES = Path(__file__).resolve().parents[1] / "LiverSegModule" / "Resources"


def main(arguments: list[str]) -> int:
    """Fill the folder; returns pip's exit code."""
    parser = argparse.ArgumentParser(
        prog="collect_wheels.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="for the wheels")
    parser.add_argument("--torch-index", default=TORCH_INDEX, metavar="ADDRESS", help="of PyTorch")
    parser.add_argument("--without-export", action="store_true", help="no packages for PDF, DICOM, surfaces")
    parsed = parser.parse_args(arguments)
    code = download(parsed.folder, [TORCH, "--index-url", parsed.torch_index])
    if code:
        return code
    names = ["requirements.txt"] + ([] if parsed.without_export else ["requirements-export.txt"])
    files = [option for name in names for option in ("-r", str(RESOURCES / name))]
    # Without the exact version pip takes the newest PyTorch of all beside the one that is there.
    pinned = f"torch=={torch_version(parsed.folder)}"
    return download(parsed.folder, [*files, pinned, "--find-links", str(parsed.folder)])


def download(folder: Path, wanted: list[str]) -> int:
    """Run ``pip download``; returns its exit code."""
    command = [sys.executable, "-m", "pip", "download", "--only-binary", ":all:", "-d", str(folder), *wanted]
    return subprocess.run(command, check=False).returncode


def torch_version(folder: Path) -> str:
    """The version of the PyTorch wheel in a folder, with its build ("2.13.0+cpu")."""
    newest = max(folder.glob("torch-*.whl"), key=lambda path: path.stat().st_mtime)
    return newest.name.split("-")[1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
