"""Planes through landmarks: where a person placed them, and guessed where not."""

from __future__ import annotations

import json
from argparse import Namespace

import numpy as np
import pytest

from liverseg.bundle import Bundle
from liverseg.cli import main
from liverseg.cli.couinaud import Splitter
from liverseg.couinaud import SplitOptions, split_liver
from liverseg.couinaud.border_reading import borders_of_split
from liverseg.couinaud.borders import segments_by_borders
from liverseg.couinaud.crop import LiverCrop
from liverseg.couinaud.landmark_file import LANDMARKS, read_landmarks, write_landmarks
from liverseg.couinaud.landmarks import first_landmarks, landmarks_of_borders
from liverseg.errors import InputRefused
from liverseg.phantom import make_phantom
from liverseg.reading import read_labels
from liverseg.writers.volumes import write_nifti


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(seed=501, shape_kji=(80, 110, 130), spacing_kji=(3.0, 3.0, 3.0), noise_hu=0)


@pytest.fixture(scope="module")
def liver(phantom) -> LiverCrop:
    crop = LiverCrop.of(phantom.masks.liver, phantom.ct.geometry)
    assert crop is not None
    return crop


@pytest.fixture(scope="module")
def placed(phantom, liver):
    """Landmarks on the phantom's true borders."""
    truth = liver.taken(phantom.masks.couinaud)
    borders = borders_of_split(truth, liver.spacing)
    assert borders is not None
    return {name: liver.ras_of(place) for name, place in landmarks_of_borders(borders).items()}


def split(phantom, **options):
    return split_liver(phantom.masks.liver, phantom.ct.geometry, None, SplitOptions("landmarks", **options))


def mean_dice(truth: np.ndarray, found: np.ndarray) -> float:
    scores = []
    for label in range(1, 9):
        a, b = truth == label, found == label
        scores.append(2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)))
    return float(np.mean(scores))


def test_without_any_landmark_the_liver_is_split_and_the_warning_names_what_was_guessed(phantom):
    found = split(phantom)
    assert np.array_equal(found.labels > 0, phantom.masks.liver)
    assert set(np.unique(found.labels)) == set(range(9))
    assert found.method.name == "planes from landmarks"
    assert 0.5 < found.method.confidence < 1
    (warning,) = [w for w in found.warnings if "No landmark was placed" in w]
    for name in ("cava", "gallbladder fossa", "umbilical fissure", "portal bifurcation"):
        assert name in warning


def test_placed_landmarks_give_the_phantoms_true_segments_and_more_confidence(phantom, placed):
    guessed, found = split(phantom), split(phantom, landmarks=placed)
    truth = phantom.masks.couinaud
    assert mean_dice(truth, found.labels) > max(0.85, mean_dice(truth, guessed.labels))
    assert found.method.confidence > guessed.method.confidence
    assert not [w for w in found.warnings if "No landmark" in w]


def test_a_moved_landmark_moves_its_border_to_it(phantom, placed):
    r, a, s = placed["portal_bifurcation"]
    higher = split(phantom, landmarks=placed | {"portal_bifurcation": (r, a, s + 20)}).labels
    found = split(phantom, landmarks=placed).labels
    height = phantom.ct.geometry.to_ras(np.argwhere(found > 0))[:, 2]
    one, other = found[found > 0], higher[found > 0]
    turned = np.isin(one, (7, 8)) & np.isin(other, (5, 6))
    assert turned.sum() > 500
    assert height[turned].min() > s - 4 and height[turned].max() < s + 24
    left = np.isin(one, (2, 3, 4))
    assert (one[left] == other[left]).mean() > 0.97


def test_one_landmark_alone_is_used_and_the_others_are_named(phantom, placed):
    found = split(phantom, landmarks={"cava": placed["cava"]})
    (warning,) = [w for w in found.warnings if "No landmark was placed" in w]
    assert "gallbladder fossa" in warning and "cava" not in warning


def test_a_landmark_far_from_the_liver_is_left_out_with_a_warning(phantom, placed):
    found = split(phantom, landmarks=placed | {"cava": (4000.0, 0.0, 0.0)})
    assert any("cava lies far from the liver" in w for w in found.warnings)
    assert mean_dice(phantom.masks.couinaud, found.labels) > 0.8


def test_the_first_guess_given_back_unmoved_changes_next_to_nothing(phantom, liver):
    guessed = split(phantom).labels
    again = split(phantom, landmarks=first_landmarks(liver)).labels
    inside = phantom.masks.liver
    assert (guessed == again)[inside].mean() > 0.98


def test_borders_read_from_planes_are_those_planes(liver, phantom):
    truth = liver.taken(phantom.masks.couinaud)
    borders = borders_of_split(truth, liver.spacing)
    drawn = segments_by_borders(liver.mask, liver.spacing, borders)
    again = borders_of_split(drawn, liver.spacing)
    for name in ("right_level_z", "left_level_z", "cantlie_x_front", "umbilical_x_front"):
        assert abs(again[name] - borders[name]) < 4.0, name


def test_segment_iv_is_divided_on_request(phantom):
    assert set(np.unique(split(phantom, split_segment_4=True).labels)) == set(range(10))


def test_the_split_is_the_same_however_the_voxels_are_stored(phantom, placed):
    turned = make_phantom(
        seed=501, shape_kji=(80, 110, 130), spacing_kji=(3.0, 3.0, 3.0), noise_hu=0, orientation="ASR"
    )
    one, other = split(phantom, landmarks=placed), split(turned, landmarks=placed)
    counts = [np.bincount(found.labels.ravel(), minlength=9)[1:] for found in (one, other)]
    assert np.allclose(counts[0], counts[1], atol=3)


def test_landmarks_come_back_from_a_slicer_markups_file(tmp_path):
    points = {"cava": (20.0, -30.0, 40.5), "portal_bifurcation": (10.0, 0.0, -5.0)}
    path = tmp_path / "first.mrk.json"
    write_landmarks(points, path)
    assert read_landmarks(path) == points
    markups = json.loads(path.read_text())["markups"][0]
    assert markups["coordinateSystem"] == "LPS"
    assert markups["controlPoints"][0]["position"] == [-20.0, 30.0, 40.5]


def test_points_not_yet_placed_are_passed_over(tmp_path):
    path = tmp_path / "half.mrk.json"
    points = [
        {"label": "IVC", "position": [1, 2, 3], "positionStatus": "defined"},
        {"label": "gallbladder fossa", "position": [0, 0, 0], "positionStatus": "undefined"},
    ]
    path.write_text(json.dumps({"markups": [{"coordinateSystem": "RAS", "controlPoints": points}]}))
    assert read_landmarks(path) == {"cava": (1.0, 2.0, 3.0)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", "no JSON"),
        ("{}", "holds no landmark"),
        ("[1]", "by name"),
        ('{"spleen": [1, 2, 3]}', "not known"),
        ('{"cava": [1, 2]}', "three numbers"),
        ('{"cava": [1, 2, "x"]}', "three numbers"),
        ('{"cava": [1, 2, NaN]}', "finite"),
        ('{"cava": [1, 2, 3], "IVC": [1, 2, 3]}', "twice"),
        ('{"coordinateSystem": "IJK", "cava": [1, 2, 3]}', "coordinate system"),
    ],
)
def test_a_file_that_is_no_landmarks_is_refused_with_the_reason(tmp_path, text, said):
    path = tmp_path / "landmarks.json"
    path.write_text(text)
    with pytest.raises(InputRefused, match=said):
        read_landmarks(path)
    with pytest.raises(InputRefused, match="is not there"):
        read_landmarks(tmp_path / "none.json")


def test_every_landmark_of_the_planes_has_a_place_in_words(liver):
    assert set(first_landmarks(liver)) == set(LANDMARKS)


def test_a_file_of_guessed_landmarks_alone_is_a_wish_for_planes_and_they_pass_by_these(
    phantom, liver, tmp_path, monkeypatch, capsys
):
    points = first_landmarks(liver)
    r, a, s = points["portal_bifurcation"]
    guessed = {name: list(place) for name, place in points.items()} | {"portal_bifurcation": [r, a, s + 15]}
    file, mask, out = (tmp_path / name for name in ("g.json", "liver.nii.gz", "c.nii.gz"))
    file.write_text(json.dumps({"landmarks": {}, "guessed": guessed}))
    write_nifti(phantom.masks.liver.astype(np.uint8), phantom.ct.geometry, mask)
    monkeypatch.setattr("liverseg.bundle.find_bundle", lambda name: Bundle(tmp_path, "none", {}, {}))
    assert main(["couinaud", str(mask), "-o", str(out), "--landmarks", str(file)]) == 0
    assert "planes from landmarks" in capsys.readouterr().out
    places = {name: tuple(place) for name, place in guessed.items()}
    expected = split(phantom, guessed=places)
    assert not np.array_equal(expected.labels, split(phantom).labels)
    asked = Namespace(couinaud_method=None, landmarks=file, model=None, split_segment_4=False)
    found = Splitter(asked, phantom.ct, None).split(phantom.masks.liver)
    assert found.method == expected.method
    assert np.array_equal(found.labels, expected.labels)
    assert np.array_equal(read_labels(out)[0], expected.labels)


def test_segment_splits_by_planes_where_the_file_holds_guessed_landmarks_alone(tmp_path, monkeypatch):
    (tmp_path / "g.json").write_text('{"landmarks": {}, "guessed": {"cava": [1, 2, 3]}}')
    asked = []

    def stop(ct, options, listener):
        asked.append(options)
        raise InputRefused("enough")

    monkeypatch.setattr("liverseg.cli.commands.read_volume", lambda *args: None)
    monkeypatch.setattr("liverseg.pipeline.segment", stop)
    main(["segment", "ct.nii.gz", "-o", str(tmp_path / "out"), "--landmarks", str(tmp_path / "g.json")])
    assert [options.couinaud_method for options in asked] == ["landmarks"]
