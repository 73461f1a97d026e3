"""Real CTs through the whole road (with LIVERSEG_DATA).

No score: the bundled weights learned from these persons. What unseen persons get stands in the model card.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from liverseg.cli import main
from liverseg.measure import label_lesions
from liverseg.reading import read_labels

pytestmark = pytest.mark.data


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def read_out(folder: Path, out: Path) -> dict:
    assert main(["segment", str(folder / "ct.nii.gz"), "-o", str(out), "--device", "cpu"]) == 0
    return json.loads((out / "report.json").read_text())


def test_two_large_tumors_are_found_in_their_segments(data, tmp_path):
    folder = data / "ct" / "ircad_17"
    report = read_out(folder, tmp_path / "out")
    truth, geometry = read_labels(folder / "liver_lesion.nii.gz")
    liver, _ = read_labels(tmp_path / "out" / "liver.nii.gz")
    found, _ = read_labels(tmp_path / "out" / "lesions.nii.gz")
    segments, _ = read_labels(folder / "couinaud.nii.gz")
    assert dice(liver > 0, truth > 0) >= 0.93
    tumors = label_lesions(truth == 2, geometry)
    numerals = ["", "I", "II", "III", "IV", "V", "VI", "VII", "VIII"]
    for tumor in (1, 2):
        inside = tumors == tumor
        ids, counts = np.unique(found[inside & (found > 0)], return_counts=True)
        assert len(ids), f"tumor {tumor} was not found"
        match = next(x for x in report["lesions"] if x["id"] == ids[np.argmax(counts)])
        share = np.bincount(segments[inside], minlength=9)[1:] / inside.sum()
        allowed = {numerals[s + 1] for s in np.flatnonzero(share >= 0.2)}
        assert set(match["primary_segment"].split("/")) & allowed, (match["primary_segment"], share)


def test_five_millimeter_slices_do_not_break_the_liver(data, tmp_path):
    folder = data / "ct" / "lits_000"
    read_out(folder, tmp_path / "out")
    truth, _ = read_labels(folder / "liver_lesion.nii.gz")
    liver, _ = read_labels(tmp_path / "out" / "liver.nii.gz")
    assert dice(liver > 0, truth > 0) >= 0.90
