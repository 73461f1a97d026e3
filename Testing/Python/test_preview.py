"""preview.png: right side left, true proportions, ids and colors where they belong."""

from __future__ import annotations

import logging
import subprocess
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from liverseg.case import Case, Masks
from liverseg.geometry import Geometry
from liverseg.volume import Volume
from liverseg.writers import preview, slices, view3d, write_case
from liverseg.writers.slices import AXIAL, CORONAL, RED, SAGITTAL, draw_slice, key_index
from writer_cases import empty_case, grids, make_case, on_other_axes


def upright_case(shape=(20, 40, 30), spacing=(3.0, 1.0, 1.5)) -> Case:
    """An upright grid: k superior, j posterior, i left; a cube of a lesion left of the middle."""
    case = make_case(lesion_count=1)
    matrix = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
    ct = np.full(shape, -1000, np.int16)
    liver = np.zeros(shape, bool)
    liver[4:16, 8:32, 6:24] = True
    ct[liver] = 40
    couinaud = np.where(liver, 5, 0).astype(np.uint8)
    couinaud[:, :, 15:][liver[:, :, 15:]] = 3
    lesions = np.zeros(shape, np.uint16)
    lesions[8:12, 12:20, 18:22] = 1
    return replace(
        case,
        ct=Volume(ct, Geometry(shape, matrix), case.ct.source),
        masks=Masks(liver, couinaud, lesions),
    )


def reds(picture: Image.Image) -> np.ndarray:
    """(n, 2) rows and columns of the lesion outline."""
    return np.argwhere((np.asarray(picture) == np.array(RED)).all(axis=2))


def near(picture: Image.Image, color: tuple[int, int, int]) -> np.ndarray:
    """Pixels that hold exactly this color."""
    return np.argwhere((np.asarray(picture) == np.array(color)).all(axis=2))


def test_the_patients_right_is_on_the_left_of_axial_and_coronal_slices() -> None:
    case = preview.canonical_case(upright_case())
    for plane in (AXIAL, CORONAL):
        picture = draw_slice(case, plane, (400, 300))
        # Segment V is the patient's right half, segment III the left one with the lesion.
        right, left = (near(picture, slices.COLORS[label])[:, 1].mean() for label in (5, 3))
        assert right < left
        assert reds(picture)[:, 1].mean() > 200


def test_anterior_is_up_on_axial_and_left_on_sagittal_slices_and_superior_is_up() -> None:
    upright = upright_case()
    masks = upright.masks
    lesions = np.zeros_like(masks.lesions)
    # Anterior and superior in the liver.
    lesions[13:16, 9:13, 14:17] = 1
    case = preview.canonical_case(replace(upright, masks=replace(masks, lesions=lesions)))
    liver_color = slices.COLORS[5]

    def offset(plane: slices.Plane) -> np.ndarray:
        picture = draw_slice(case, plane, (400, 400))
        return reds(picture).mean(axis=0) - near(picture, liver_color).mean(axis=0)

    assert offset(AXIAL)[0] < -20
    assert offset(SAGITTAL)[1] < -20
    assert offset(SAGITTAL)[0] < -20
    assert offset(CORONAL)[0] < -20


def test_slices_have_true_proportions() -> None:
    case = preview.canonical_case(upright_case())
    # The liver's box is 36 x 24 x 36 mm (S, P, L).
    for plane, wanted in ((AXIAL, 24 / 27), (CORONAL, 36 / 27), (SAGITTAL, 36 / 24)):
        picture = draw_slice(case, plane, (500, 500))
        drawn = np.concatenate([near(picture, slices.COLORS[label]) for label in (3, 5)])
        height, width = drawn.max(axis=0) - drawn.min(axis=0) + 1
        assert height / width == pytest.approx(wanted, rel=0.05)


def test_the_key_slice_has_the_most_lesion_and_without_lesions_the_most_liver() -> None:
    upright = upright_case()
    upright.masks.lesions[9, 20:26, 18:22] = 1
    case = preview.canonical_case(upright)
    assert key_index(case, 0) == 9
    upright.masks.lesions[:] = 0
    upright.masks.couinaud[7, 0:8, 6:24] = 5
    assert key_index(case, 0) == 7
    upright.masks.couinaud[:] = 0
    assert key_index(case, 0) == 10


def test_the_picture_is_the_same_for_every_axis_order_of_the_ct() -> None:
    upright = upright_case()
    expected = [
        np.asarray(draw_slice(preview.canonical_case(upright), plane, (300, 300)))[30:]
        for plane in (AXIAL, CORONAL, SAGITTAL)
    ]
    for flips, axes in grids():
        case = preview.canonical_case(on_other_axes(upright, flips, axes))
        for plane, picture in zip((AXIAL, CORONAL, SAGITTAL), expected, strict=True):
            # The caption in the first rows names the slice by the CT's own index, which differs.
            assert np.array_equal(np.asarray(draw_slice(case, plane, (300, 300)))[30:], picture)


def test_the_caption_names_the_slice_in_the_ct_own_indices() -> None:
    upright = upright_case()
    case = preview.canonical_case(on_other_axes(upright, (True, False, False), (2, 0, 1)))
    assert slices.caption(case, AXIAL, 9) == "Axial, j = 10"
    assert slices.caption(preview.canonical_case(upright), AXIAL, 9) == "Axial, k = 9"


def test_the_window_is_that_of_the_abdomen() -> None:
    gray = slices.windowed(np.array([[-1000, -160, 40, 240, 3000]], np.int16))
    assert gray.tolist() == [[0, 0, 127, 255, 255]]
    assert slices.windowed(np.array([[np.nan]], np.float32)).tolist() == [[0]]


@pytest.mark.skipif(find_spec("vtk") is None, reason="vtk is not installed: no 3D view to look at")
def test_the_3d_view_shows_the_liver_from_the_front_with_the_lesion_in_its_place(tmp_path: Path) -> None:
    path = write_case(upright_case(), tmp_path, ["preview"])["preview"]
    with Image.open(path) as image:
        assert image.size == preview.SIZE
        x, y, width, height = preview._VIEW_3D
        view = np.asarray(image.convert("RGB")).astype(int)[y : y + height, x : x + width]
    view = view[30:, 40:-40]  # without caption and letters
    drawn = np.argwhere(view.sum(axis=2) > 60)
    assert len(drawn) > 0.2 * view.shape[0] * view.shape[1]
    # Redder than anything else: the lesion, on the patient's left, that is right in the picture.
    excess = view[..., 0] - (view[..., 1] + view[..., 2]) / 2
    lesion = np.argwhere(excess > 70)
    assert len(lesion) > 200
    assert lesion[:, 1].mean() > drawn[:, 1].mean() + 50


@pytest.mark.parametrize("trouble", ["missing", "crash", "timeout"])
def test_without_a_3d_view_there_is_still_a_picture_and_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    def run(command: list[str], **options: object) -> subprocess.CompletedProcess:
        if trouble == "timeout":
            raise subprocess.TimeoutExpired(command, 60)
        return subprocess.CompletedProcess(command, -11, b"", b"driver lost\n")

    monkeypatch.setattr(view3d.subprocess, "run", run)
    if trouble == "missing":
        monkeypatch.setattr(view3d, "find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        path = write_case(make_case(), tmp_path, ["preview"])["preview"]
    assert "no 3D view" in caplog.text
    with Image.open(path) as image:
        assert image.size == preview.SIZE
        assert len(reds(image.convert("RGB"))) > 50


def test_a_case_without_a_liver_gets_a_picture(tmp_path: Path) -> None:
    path = write_case(empty_case(), tmp_path, ["preview"])["preview"]
    with Image.open(path) as image:
        assert image.size == preview.SIZE
        assert np.asarray(image).any()
