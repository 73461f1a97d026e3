"""The made-up data set of docs/training.md: listed and sound in both layouts, the same for everyone."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from liverseg.reading import read_labels, read_volume
from liverseg.training.datasets import list_scans
from liverseg.training.integrity import check_data

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location(
        "make_phantom_set", ROOT / "scripts" / "make_phantom_set.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("layout", "adapter"), [("decathlon", "decathlon"), ("project", "project-whole")])
def test_a_made_up_data_set_is_listed_and_sound(layout, adapter, script, tmp_path):
    words = ["--out", str(tmp_path), "--layout", layout, "--patients", "4", "--spacing", "6"]
    assert script.main(words) == 0
    scans = list_scans(adapter, tmp_path)
    assert [scan.case for scan in scans] == [f"made_{n:03d}" for n in range(4)]
    assert len({scan.person for scan in scans}) == 4
    assert not check_data(scans, tmp_path).fatal
    for scan in scans:
        label, geometry = read_labels(scan.label)
        couinaud, _ = read_labels(tmp_path / "couinaud" / f"{scan.case}.nii.gz")
        assert geometry.matches(read_volume(scan.ct).geometry, 1e-3)
        assert ((couinaud > 0) == (label > 0)).all()
        assert set(np.unique(couinaud)) == set(range(9))
    lesions = [bool((read_labels(scan.label)[0] == 2).any()) for scan in scans]
    assert lesions == [True, True, True, False]


def test_an_impossible_data_set_is_one_clear_line(script, tmp_path, capsys):
    assert script.main(["--out", str(tmp_path / "set"), "--patients", "0"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "set").exists()
