"""The clone stays small, history included, and holds no images, weights in loose formats or data."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The index of Slicer's extensions refuses repositories of more.
LIMIT_MB = 100.0
# All model bundles together.
LIMIT_MODELS_MB = 30.0
DATA_SUFFIXES = (
    ".nii",
    ".nii.gz",
    ".nrrd",
    ".mha",
    ".mhd",
    ".dcm",
    ".mrb",
    ".npy",
    ".npz",
    ".pt",
    ".pth",
    ".ckpt",
    ".pkl",
    ".zip",
)


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """The files that git keeps."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    answer = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    return [ROOT / name for name in answer.stdout.split("\0") if name]


def megabytes(paths: list[Path]) -> float:
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def clone_megabytes() -> float:
    """What a clone of the present commit carries as history, packed as git sends it.

    The folder ``.git`` says something else: it keeps what no branch holds any more, and files twice.
    """
    packed = subprocess.run(
        ["git", "pack-objects", "--revs", "--stdout", "-q"],
        cwd=ROOT,
        input=b"HEAD\n",
        capture_output=True,
        check=True,
    )
    return len(packed.stdout) / 1e6


def test_history_and_tracked_files_are_under_100_mb(tracked: list[Path]) -> None:
    history = clone_megabytes()
    assert history > 1
    assert history + megabytes(tracked) < LIMIT_MB


def test_all_model_bundles_together_are_under_30_mb() -> None:
    assert megabytes(list((ROOT / "Resources" / "Models").rglob("*"))) < LIMIT_MODELS_MB


def test_no_data_file_is_tracked(tracked: list[Path]) -> None:
    data = [
        path.relative_to(ROOT).as_posix() for path in tracked if path.name.lower().endswith(DATA_SUFFIXES)
    ]
    assert not data, "tests and demos make their own phantoms; remove these files from git"
