"""A CT whose DICOM files are known again gets them, however its slices run; another series is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from liverseg.dicom import read_series
from liverseg.dicom_origin import with_dicom_files
from liverseg.errors import InputRefused
from liverseg.geometry import Geometry
from liverseg.phantom import make_phantom
from liverseg.phantom_dicom import write_dicom_series
from liverseg.volume import Source


@pytest.fixture(scope="module")
def ct():
    return make_phantom(seed=4, shape_kji=(24, 40, 44), spacing_kji=(8.0, 7.0, 7.0)).ct


@pytest.fixture(scope="module")
def files(ct, tmp_path_factory):
    return write_dicom_series(ct, tmp_path_factory.mktemp("series"))


def test_a_ct_gets_the_files_of_its_slices_in_its_own_order(ct, files):
    known = with_dicom_files(replace(ct, source=Source("scene", sha256="0")), files[::-1])
    assert [path for path, _ in known.source.files] == list(files)
    read = read_series(files[0].parent).source
    assert (known.source.study_uid, known.source.series_uid) == (read.study_uid, read.series_uid)
    assert known.source.sha256 == "0" and known.source.modality == "CT"


def test_slices_that_run_the_other_way_get_theirs(ct, files):
    matrix = ct.geometry.ijk_to_ras.copy()
    matrix[:3, 3] = ct.geometry.to_ras(np.array([ct.array.shape[0] - 1, 0, 0]))
    matrix[:3, 2] *= -1
    turned = replace(ct, array=ct.array[::-1].copy(), geometry=Geometry(ct.array.shape, matrix))
    known = with_dicom_files(turned, files)
    assert [path for path, _ in known.source.files] == list(files)[::-1]


def test_a_ct_that_was_moved_a_missing_file_and_another_series_are_refused(ct, files, tmp_path):
    moved = ct.geometry.ijk_to_ras.copy()
    moved[0, 3] += 3
    with pytest.raises(InputRefused, match="moved or resampled"):
        with_dicom_files(replace(ct, geometry=Geometry(ct.geometry.shape, moved)), files)
    with pytest.raises(InputRefused, match="not in its place"):
        with_dicom_files(ct, [*files[:-1], tmp_path / "gone.dcm"])
    with pytest.raises(InputRefused, match="moved or resampled"):
        with_dicom_files(ct, files[:-1])
