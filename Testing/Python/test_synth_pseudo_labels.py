"""Pseudo-labels: what is believed, what is not counted, and whose scans are never touched."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from liverseg.errors import InputRefused, UsageError
from liverseg.stages import FineMasks
from liverseg.training.cached_cases import WHOLE, CachedGrid, load_cached
from liverseg.training.splits import Part, Splits, write_splits
from liverseg.training.synth.hard_negatives import (
    SLAB_COUNTED,
    SLAB_DEPTH,
    false_alarms,
    few_of_each_person,
    for_liver_alone,
    hard_negatives,
)
from liverseg.training.synth.pseudo_labels import PseudoLabelRefused, pseudo_label
from liverseg.training.synth.samples import TrainingSample, make_sample, read_sample, write_sample
from liverseg.training.synth.weak_slices import WeakSlice, mend_clipped_fat, read_weak_slices, slice_label
from liverseg.training.tasks import LesionTask
from synth_patches import SPACING, made_patch, with_lesion

LESION_AT = (32, 40, 45)


def scan(contrast: float = -45.0) -> tuple[np.ndarray, np.ndarray]:
    return with_lesion(*made_patch(1), LESION_AT, (7, 8, 8), contrast)


def score_of(label: np.ndarray, inside: float = 0.95) -> np.ndarray:
    return np.where(label == 2, np.float32(inside), np.float32(0.02))


def reason(hu: np.ndarray, label: np.ndarray, scores: list[np.ndarray]) -> str:
    result = pseudo_label(hu, [label > 0], scores, SPACING)
    assert len(result.claims) == 1
    return result.claims[0].reason


def test_a_lesion_that_all_teachers_are_sure_of_becomes_a_counted_label():
    hu, label = scan()
    result = pseudo_label(hu, [label > 0] * 2, [score_of(label), score_of(label, 0.9)], SPACING)
    assert np.array_equal(result.label, label)
    assert result.counted.all()
    (claim,) = result.kept
    assert claim.volume_ml == pytest.approx(np.count_nonzero(label == 2) * 1.5**3 / 1000)
    assert claim.contrast_hu == pytest.approx(-45, abs=3) and claim.agreement == 1


def test_where_teachers_differ_on_a_border_it_is_not_counted():
    hu, label = scan()
    _, smaller = with_lesion(*made_patch(1), LESION_AT, (6, 7, 7), -45)
    result = pseudo_label(hu, [label > 0], [score_of(label), score_of(smaller)], SPACING)
    shell = (label == 2) & (smaller != 2)
    assert len(result.kept) == 1
    assert not result.counted[shell].any()
    assert result.counted[smaller == 2].all() and (result.label[smaller == 2] == 2).all()
    assert result.counted[label == 1].all()


@pytest.mark.parametrize("other", [0.6, 0.1])
def test_a_lesion_that_one_teacher_sees_alone_is_neither_lesion_nor_background(other):
    hu, label = scan()
    result = pseudo_label(hu, [label > 0], [score_of(label), score_of(label, other)], SPACING)
    assert not result.kept
    assert not (result.label == 2).any()
    assert not result.counted[label == 2].any()
    far = np.zeros(label.shape, dtype=bool)
    far[:10] = True
    assert result.counted[far].all()


def test_implausible_claims_are_named_and_not_counted():
    hu, label = scan()
    assert reason(*scan(contrast=-4.0), [score_of(label)]) == "hardly differs from the liver around"
    assert reason(hu, label, [score_of(label, 0.75)]) == "no score above 0.85"
    _, tiny = with_lesion(*made_patch(1), LESION_AT, (2, 2, 2), -45)
    assert reason(hu, tiny, [score_of(tiny)]) == "smaller than 0.15 ml"
    everything = np.where(label > 0, 2, 0).astype(np.uint8)
    assert reason(hu, label, [score_of(everything)]) == "more than 60% of the liver"
    _, core = with_lesion(*made_patch(1), LESION_AT, (4, 4, 4), -45)
    both = [score_of(label), np.maximum(score_of(core), 0.2)]
    assert reason(hu, label, both) == "the teachers draw it differently"
    refused = pseudo_label(hu, [label > 0], [score_of(tiny)], SPACING)
    assert not refused.counted[tiny == 2].any() and not (refused.label == 2).any()


def test_the_liver_counts_where_all_agree_on_it_and_a_scan_with_two_livers_is_refused():
    hu, label = scan()
    liver = label > 0
    other = liver.copy()
    other[:, :, :8] = False
    result = pseudo_label(hu, [liver, other, liver], [score_of(label)], SPACING)
    assert np.array_equal(result.label > 0, liver)
    assert not result.counted[liver & ~other].any()
    assert result.counted[~liver].all()
    other[:, :, :60] = False
    with pytest.raises(PseudoLabelRefused, match="agree with a Dice"):
        pseudo_label(hu, [liver, other], [score_of(label)], SPACING)
    with pytest.raises(PseudoLabelRefused, match="no liver"):
        pseudo_label(hu, [np.zeros_like(liver)], [score_of(label)], SPACING)


def weak_slice(case: str = "lits_050_slice_010") -> WeakSlice:
    liver = np.zeros((80, 80), dtype=bool)
    liver[20:60, 10:70] = True
    lesion = np.zeros_like(liver)
    lesion[25:50, 20:45] = True
    clear = np.zeros_like(liver)
    clear[:, 45:] = True
    clear[:, 42:45] = True
    unknown = np.zeros_like(liver)
    unknown[55:60, 65:70] = True
    hu = np.where(liver, 100, 20).astype(np.float32)
    return WeakSlice(case, hu, liver, lesion, clear, unknown, 1.5)


def test_clear_windows_count_as_free_of_lesions_and_lesion_windows_do_not_count_alone():
    weak = weak_slice()
    label, counted = slice_label(weak)
    assert (label[weak.liver] == 1).all()
    assert counted[30, 60] and counted[5, 5]
    # The overlap of both windows and liver in no window are open.
    assert not counted[30, 43] and not counted[30, 30] and not counted[55, 15]
    assert not counted[57, 67]


def test_a_teachers_lesion_counts_in_lesion_windows_alone():
    weak = weak_slice()
    score = np.full(weak.liver.shape, 0.05, dtype=np.float32)
    score[30:38, 25:33] = 0.95
    score[30:38, 50:60] = 0.95
    score[52:58, 12:18] = 0.95
    label, counted = slice_label(weak, [score, score])
    expected = np.zeros(weak.liver.shape, dtype=bool)
    expected[30:38, 25:33] = True
    assert np.array_equal(label == 2, expected)
    assert counted[expected].all()
    # In the clear window the alarm counts as wrong; outside of all windows it is open.
    assert counted[30:38, 50:60].all() and (label[30:38, 50:60] == 1).all()
    assert not counted[52:58, 12:18].any()
    # The rest of the lesion's window now counts as liver.
    assert counted[40:45, 30:40].all()


def test_a_lesion_window_that_the_teacher_overlooks_is_not_counted():
    weak = weak_slice()
    label, counted = slice_label(weak, [np.full(weak.liver.shape, 0.05, dtype=np.float32)])
    assert not (label == 2).any()
    assert not counted[weak.lesion_window & weak.liver].any()


def test_hard_negatives_hold_no_lesion_and_nobody_who_is_held_out():
    hu, label = made_patch(2)
    image = np.zeros(label.shape, dtype=np.uint8)
    cases = {
        "ircad_05": (image, label),
        "chaos_03": (image, label),
        "lits_004": (image, scan()[1]),
        "phantom_without_1": (image, np.zeros_like(label)),
    }
    slices = [weak_slice(), weak_slice("lits_001_slice_004"), weak_slice("lits_030_slice_020")]
    samples = hard_negatives(slices, cases, {"lits_000", "ircad_003", "chaos_003"}, 1.5)
    # lits_001 is lits_000's person, lits_030 is ircad_03's.
    assert [sample.case for sample in samples] == ["lits_050_slice_010", "ircad_05"]
    for sample in samples:
        assert not (sample.label == 2).any()
        assert sample.image.shape == sample.label.shape == sample.counted.shape
    slab = samples[0]
    assert slab.label.shape[0] == SLAB_DEPTH
    assert np.count_nonzero(slab.counted.any(axis=(1, 2))) == SLAB_COUNTED
    assert slab.counted[SLAB_DEPTH // 2].any() and not slab.counted[0].any()
    assert samples[1].counted.all()


def test_slices_for_the_liver_alone_say_nothing_about_lesions(tmp_path):
    (slab,) = hard_negatives([weak_slice()], {}, set(), 1.5)
    assert not slab.counted[slab.label > 0].all()
    place = write_sample(for_liver_alone(slab), tmp_path)
    case = load_cached(place.parent, place.name)
    assert not case.known.lesions
    assert case.counted is not None
    middle = case.counted[SLAB_DEPTH // 2]
    assert middle.all() and not case.counted[0].any()
    assert LesionTask.groups_of(case.known) == ((0,), (1, 2, 3, 4))
    assert not read_sample(place).lesions


def test_few_slices_of_each_person_come_from_the_middle_of_the_liver():
    (slab,) = hard_negatives([weak_slice()], {}, set(), 1.5)
    names = [f"lits_050_slice_{n:03d}" for n in (10, 20, 30, 40, 50)] + ["lits_060_slice_007"]
    samples = [replace(slab, case=name) for name in names]
    one = {sample.case for sample in few_of_each_person(samples, 1)}
    assert one == {"lits_050_slice_030", "lits_060_slice_007"}
    three = {sample.case for sample in few_of_each_person(samples, 3)}
    assert three == {*one, "lits_050_slice_020", "lits_050_slice_040"}
    assert few_of_each_person(samples, 0) == []


def test_false_alarms_are_found_and_inexact_lesions_are_not_among_them():
    _, label = scan()
    score = score_of(label)
    score[10:14, 30:36, 30:36] = 0.8
    score[12, 32, 32] = 0.9
    score[32, 40, 45:56] = 0.7
    (alarm,) = false_alarms(label, score, SPACING)
    assert alarm.center == (12, 32, 32)
    assert alarm.volume_ml == pytest.approx(4 * 6 * 6 * 1.5**3 / 1000)
    assert alarm.peak == pytest.approx(0.9)


def test_clipped_fat_gets_the_gray_of_fat_and_tissue_stays():
    gray = np.full((40, 40), 100, dtype=np.uint8)
    gray[:, 20:] = 0
    hu = mend_clipped_fat(gray)
    assert np.allclose(hu[:, :15], 100) and np.allclose(hu[:, 25:], -95, atol=1)


def write_slices(folder: Path) -> None:
    liver = np.zeros((4, 64, 64), dtype=bool)
    liver[:, 20:40, 20:40] = True
    number = np.array([0, 1, 5, 29], dtype=np.int16)
    np.savez(
        folder / "lits_slices.npz",
        image=np.full((4, 64, 64), 90, dtype=np.uint8),
        liver=liver,
        lits_id=number,
        slice=np.arange(4, dtype=np.int16),
    )
    np.savez(
        folder / "lits_slices_weak.npz",
        lits_id=number,
        pixel_mm=np.array([1.5, 1.5, np.nan, 1.4], dtype=np.float32),
        lesion_window=liver,
        clear_window=~liver,
        source=np.array([1, 1, 1, 1], dtype=np.int8),
    )


def test_slices_of_excluded_persons_are_never_read_under_any_of_their_numbers(tmp_path):
    write_slices(tmp_path)
    assert [weak.case[:8] for weak in read_weak_slices(tmp_path)] == ["lits_000", "lits_001", "lits_029"]
    assert [weak.case[:8] for weak in read_weak_slices(tmp_path, {"lits_000"})] == ["lits_029"]
    assert read_weak_slices(tmp_path, {"lits_000", "ircad_002"}) == []
    with pytest.raises(InputRefused, match="no weak slices"):
        read_weak_slices(tmp_path / "nowhere")


@pytest.mark.parametrize("kept", [0.0, 0.4, 0.99])
def test_slices_whose_file_was_cut_off_are_refused(kept, tmp_path):
    write_slices(tmp_path)
    path = tmp_path / "lits_slices.npz"
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(InputRefused, match="no weak slices"):
        read_weak_slices(tmp_path)


def test_samples_come_back_from_their_file_as_they_were(tmp_path):
    hu, label = scan()
    sample = make_sample("case", hu, label, label < 2, SPACING, 3.0, crop_mm=6.0)
    assert abs(sample.image[sample.label == 1].mean() / 255 * 400 - 160 - 105) < 6
    assert np.array_equal(sample.counted, ~(sample.label == 2)) or (
        np.mean(sample.counted == (sample.label != 2)) > 0.99
    )
    again = read_sample(write_sample(sample, tmp_path / "out"))
    assert isinstance(again, TrainingSample) and again.case == "case"
    assert np.array_equal(again.image, sample.image) and np.array_equal(again.counted, sample.counted)
    assert again.grid == sample.grid == CachedGrid(WHOLE, (3.0, 3.0, 3.0))
    (tmp_path / "out" / "case" / "label.npy").write_bytes(b"no")
    with pytest.raises(InputRefused, match="no training sample"):
        read_sample(tmp_path / "out" / "case")
    with pytest.raises(InputRefused, match="no training sample"):
        read_sample(tmp_path / "out" / "nobody")


@pytest.fixture(scope="module")
def script(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "make_pseudo_labels", root / "scripts/make_pseudo_labels.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_holds_out_persons_of_the_split_and_of_the_command_line(script, tmp_path):
    split = tmp_path / "split.json"
    cases = ["lits_000", "lits_001", "lits_029", "hcctace_005_t1_pre"]
    part = (
        Part("0", ("lits_000",), tuple(cases[:2])),
        Part("1", ("hcctace_005", "ircad_002"), tuple(cases[2:])),
    )
    write_splits(Splits("k-fold", "project-roi", 0, part), split)
    assert script.held_out_persons(["ircad_17"], split, "1") == {"ircad_017", "hcctace_005", "ircad_002"}
    assert script.held_out_persons(["lits_001"], None, None) == {"lits_000"}
    for given in ((split, None), (None, "0")):
        with pytest.raises(UsageError, match="--split and --held go together"):
            script.held_out_persons([], *given)
    with pytest.raises(UsageError, match="no part"):
        script.held_out_persons([], split, "7")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(InputRefused, match="no splits file"):
        script.held_out_persons([], tmp_path / "bad.json", "0")


def test_the_script_writes_slices_on_which_teacher_and_windows_agree(script, tmp_path, monkeypatch):
    # The networks are the edge: a teacher that takes everything darker than the liver for a lesion.
    def find_lesions(hu, spacing, rough, bundle, device, quality):
        part = hu[rough.box]
        score = np.where((part > 25) & (part < 80), np.float32(0.95), np.float32(0.02))
        return FineMasks(part > 25, score > 0.5, score), None

    monkeypatch.setattr(script, "find_lesions", find_lesions)
    weak = weak_slice()
    weak.hu[30:38, 25:33] = 50
    assert script.label_slice(weak, [None], "cpu", 2, tmp_path / "slices")
    sample = read_sample(tmp_path / "slices" / weak.case)
    lesion = sample.label == 2
    assert np.count_nonzero(lesion) == 64 * SLAB_DEPTH
    assert np.count_nonzero(lesion & sample.counted) == 64 * SLAB_COUNTED
