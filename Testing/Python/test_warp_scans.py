"""Warped copies for training: named after their case, with nobody's shape who is held out."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from liverseg.training.cached_cases import (
    WHOLE,
    CachedGrid,
    Known,
    cached_grid,
    cached_names,
    gray_of_hu,
    load_cached,
    write_cached,
)
from liverseg.training.persons import person_of
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


def test_a_copy_of_a_persons_own_naming_is_that_persons(root, tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("warp_scans", root / "scripts" / "warp_scans.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    label = np.ones((4, 4, 4), dtype=np.uint8)
    grid = CachedGrid(WHOLE, (3.0, 3.0, 3.0))
    for case in ("made_000", "made_001"):
        write_cached(tmp_path / "cache", case, label, label, Known(), grid=grid)
    warped = SimpleNamespace(label=label, hu=label.astype(np.float32))
    monkeypatch.setattr(script, "warp_to_shape", lambda *_: warped)
    given = (tmp_path / "cache", tmp_path / "out", ["made_000", "made_001"], 1, 1, (3.0, 3.0, 3.0))
    assert script.write_copies("made_000", *given) == 1
    (name,) = cached_names(tmp_path / "out")
    assert person_of(name) == "made_000"
    assert cached_grid(tmp_path / "out", name) == grid


def test_a_splits_file_without_a_part_is_one_clear_line(cache, root):
    done = warp(
        root, "--cache", cache, "--out", cache.parent / "warped", "--splits", cache.parent / "splits.json"
    )
    assert done.returncode == 2
    assert (
        done.stderr.strip() == "warp_scans: --splits and --part go together: name the part that is held out"
    )
    assert not (cache.parent / "warped").exists()
