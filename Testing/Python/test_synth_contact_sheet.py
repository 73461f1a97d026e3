"""Contact sheets: what they show, and where they must not go."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from liverseg.errors import UsageError
from liverseg.training.cached_cases import Known, write_cached
from liverseg.training.synth.bulging import Survey
from liverseg.training.synth.contact_sheet import (
    LESION_COLOR,
    UNCOUNTED_COLOR,
    SheetSample,
    draw_sheet,
    key_slice,
    refuse_repository,
    write_sheet,
)
from synth_patches import made_patch, with_lesion


def sample(counted: np.ndarray | None = None) -> SheetSample:
    hu, label = made_patch(shape=(24, 40, 40))
    after, marked = with_lesion(hu, label, (15, 20, 20), (4, 6, 6), -50)
    return SheetSample("planted", hu, after, marked, counted)


def test_a_sheet_shows_before_after_and_the_lesions_outline():
    picture = np.array(draw_sheet([sample()], cell=200, per_row=1))
    red = (picture == LESION_COLOR).all(axis=-1)
    assert 50 < red.sum() < 2000
    # Outlines are in the third cell alone; the first two differ by the lesion.
    assert not red[:, :400].any()
    before, after = picture[18:218, :200].astype(int), picture[18:218, 206:406].astype(int)
    assert np.abs(before - after).max() > 20


def test_what_is_not_counted_is_colored_over():
    counted = np.ones((24, 40, 40), dtype=bool)
    counted[:, :10] = False
    picture = np.array(draw_sheet([sample(counted)], cell=200, per_row=1))
    assert ((picture == UNCOUNTED_COLOR).all(axis=-1)).sum() > 3000


def test_the_slice_shown_is_that_of_the_change():
    assert key_slice(sample()) == 15


def test_a_sheet_of_nothing_is_refused():
    with pytest.raises(UsageError, match="no sample"):
        draw_sheet([])


def test_pictures_of_patients_do_not_go_into_a_repository(tmp_path: Path, root: Path):
    with pytest.raises(UsageError, match="outside of it"):
        refuse_repository(root / "docs" / "sheets")
    (tmp_path / "clone" / ".git").mkdir(parents=True)
    with pytest.raises(UsageError, match="outside of it"):
        write_sheet(draw_sheet([sample()]), tmp_path / "clone" / "runs" / "sheet.png")
    assert not (tmp_path / "clone" / "runs").exists()
    # A link must not lead around it.
    (tmp_path / "link").symlink_to(tmp_path / "clone")
    with pytest.raises(UsageError, match="outside of it"):
        refuse_repository(tmp_path / "link" / "runs")


def test_the_command_draws_a_cache_and_refuses_the_repository(tmp_path: Path, root: Path):
    hu, label = with_lesion(*made_patch(1), (32, 44, 52), (7, 8, 9), -45)
    cache = tmp_path / "cache"
    image = np.round((hu.clip(-160, 240) + 160) / 400 * 255).astype(np.uint8)
    write_cached(cache, "lits_004", label, image, Known())
    call = [sys.executable, str(root / "scripts/contact_sheet.py"), "--cache", str(cache), "--count", "2"]
    done = subprocess.run(
        [*call, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for kind in ("planted", "confounders", "pasted"):
        assert min(Image.open(tmp_path / "out" / f"{kind}.png").size) > 200
    refused = subprocess.run([*call, "--out", str(root / "out")], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "outside of it" in refused.stderr and "Traceback" not in refused.stderr
    assert not (root / "out").exists()


def test_a_drawn_case_is_surveyed_once(root: Path, monkeypatch: pytest.MonkeyPatch):
    bulging = runpy.run_path(str(root / "scripts" / "contact_sheet.py"))["bulging"]
    cases = {f"lits_00{n}": made_patch(n, shape=(24, 40, 40)) for n in range(2)}
    surveyed: list[np.ndarray] = []
    survey = Survey.of

    def counted(hu: np.ndarray, label: np.ndarray, spacing: tuple[float, float, float]) -> Survey:
        surveyed.append(hu)
        return survey(hu, label, spacing)

    monkeypatch.setattr(Survey, "of", staticmethod(counted))
    bulging(cases, 4, np.random.default_rng(0))
    assert surveyed and len(surveyed) == len({id(hu) for hu in surveyed})
