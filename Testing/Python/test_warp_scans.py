"""Warped copies for training: named after their case, with nobody's shape who is held out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from liverseg.training.cache import Known, cached_names, gray_of_hu, load_cached, write_cached
from liverseg.training.splits import Part, Splits, write_splits


def small_liver(stretch: float) -> tuple[np.ndarray, np.ndarray]:
    """Label and gray values of a liver of two lobes with a lesion, 1.5 mm voxels, stretched along x."""
    z, y, x = (np.indices((56, 64, 84)) - np.array([27.5, 31.5, 41.5])[:, None, None, None]) * 1.5
    x = x / stretch
    right = (z / 32) ** 2 + (y / 34) ** 2 + ((x + 12) / 30) ** 2 < 1
    left = ((z - 12) / 15) ** 2 + ((y + 9) / 17) ** 2 + ((x - 22) / 24) ** 2 < 1
    liver, lesion = right | left, z**2 + (y - 5) ** 2 + (x + 12) ** 2 < 12**2
    hu = np.where(lesion, 40.0, np.where(liver, 110.0, -90.0)).astype(np.float32)
    return liver.astype(np.uint8) + (liver & lesion), gray_of_hu(hu)


@pytest.fixture
def cache(tmp_path) -> Path:
    """Two persons to learn from and a third one, whose liver is longer than theirs, held out."""
    known = Known(lesions=True, vessels="none")
    for case, length in (("ircad_05", 1.0), ("ircad_14", 1.12), ("lits_000", 1.35)):
        write_cached(tmp_path / "cache", case, *small_liver(length), known, None)
    own = Part("1", ("ircad_005", "ircad_014"), ("ircad_05", "ircad_14"))
    parts = (Part("0", ("lits_000",), ("lits_000",)), own)
    write_splits(Splits("k-fold", "project-roi", 1, parts), tmp_path / "splits.json")
    return tmp_path / "cache"


def warp(root: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(root / "LiverSegExtension")}
    command = [sys.executable, str(root / "scripts" / "warp_scans.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def volume(label: np.ndarray) -> int:
    return int(np.count_nonzero(label))


def test_a_copy_has_the_other_persons_shape_and_the_held_out_person_is_nowhere(cache, root):
    out = cache.parent / "warped"
    common = ("--cache", cache, "--out", out, "--copies", 1, "--processes", 1)
    done = warp(root, *common, "--splits", cache.parent / "splits.json", "--part", "0")
    assert done.returncode == 0, done.stderr
    assert cached_names(out) == ["ircad_05_warped_0", "ircad_14_warped_0"]
    longer = load_cached(out, "ircad_05_warped_0")
    wanted = load_cached(cache, "ircad_14")
    assert volume(longer.label.numpy()) == pytest.approx(volume(wanted.label.numpy()), rel=0.05)
    assert (longer.label == 2).any()
    assert longer.known.lesions
    tissue = longer.image.numpy()[longer.label.numpy() == 1]
    assert np.median(tissue) == pytest.approx(
        np.median(wanted.image.numpy()[wanted.label.numpy() == 1]), abs=2
    )


def test_a_splits_file_without_a_part_is_one_clear_line(cache, root):
    done = warp(
        root, "--cache", cache, "--out", cache.parent / "warped", "--splits", cache.parent / "splits.json"
    )
    assert done.returncode == 2
    assert (
        done.stderr.strip() == "warp_scans: --splits and --part go together: name the part that is held out"
    )
    assert not (cache.parent / "warped").exists()
