"""What a network sees while it learns: persons alike, classes by their shares, small lesions too."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from liverseg.errors import InputRefused, UsageError
from liverseg.training import augment, cache
from liverseg.training.cache import cache_couinaud_map
from liverseg.training.cached_cases import (
    SEGMENTS,
    WHOLE,
    CachedCase,
    CachedGrid,
    Code,
    Known,
    cached_grid,
    cached_names,
    load_cached,
    write_cached,
)
from liverseg.training.persons import person_of
from liverseg.training.road_config import ScanConfig
from liverseg.training.sampling import CaseDraw, Places, Shares, tissue_share
from liverseg.training.scan_task import ScanTask
from liverseg.training.tasks import CouinaudTask, LesionTask, LiverTask, imitate_stage1, imitate_stage2
from made_data import write_array

DRAWS = 600


def label_with_two_lesions() -> np.ndarray:
    label = np.zeros((40, 48, 48), dtype=np.uint8)
    label[8:32, 8:40, 8:40] = Code.LIVER
    label[10:22, 10:22, 10:22] = Code.LESION
    label[26:28, 30:32, 30:32] = Code.LESION
    label[12:30, 34:36, 12:14] = Code.HEPATIC_VEIN
    return label


def cached(name: str, label: np.ndarray, known: Known | None = None) -> CachedCase:
    image = np.random.default_rng(1).integers(80, 120, label.shape, dtype=np.uint8)
    return CachedCase(name, torch.from_numpy(label), torch.from_numpy(image), known or Known())


def test_every_person_is_drawn_as_often_as_any_other_whatever_their_scans():
    names = ["lits_000", "lits_001", "ircad_02", "chaos_03", "phantom_1000", "phantom_1001"]
    draw = CaseDraw(names, phantom_share=0.25)
    rng = np.random.default_rng(2)
    persons = Counter(person_of(draw.draw(rng)) for _ in range(4000))
    made_up = sum(count for person, count in persons.items() if person.startswith("phantom"))
    assert made_up / 4000 == pytest.approx(0.25, abs=0.03)
    for person in ("lits_000", "ircad_002", "chaos_003"):
        assert persons[person] / 4000 == pytest.approx(0.25, abs=0.03)


def test_patches_are_centered_by_the_set_shares_and_small_lesions_are_not_forgotten():
    label = label_with_two_lesions()
    places = Places.of(cached("a", label))
    rng = np.random.default_rng(3)
    centers = [np.floor(places.center(Shares(0.5, 0.3, 0.2), rng)).astype(int) for _ in range(DRAWS)]
    found = np.array([label[tuple(center)] for center in centers])
    tiny = np.mean([26 <= z < 28 and y >= 30 for z, y, x in centers])
    # Lesions by choice, and by chance in the 30 % from the liver and the 20 % from anywhere.
    assert np.mean(found == Code.LESION) == pytest.approx(0.5, abs=0.1)
    assert np.mean(found == Code.BACKGROUND) == pytest.approx(0.2 * np.mean(label == 0), abs=0.05)
    # Half of the lesion draws go by lesion: the one of 8 voxels gets half of those.
    assert tiny == pytest.approx(0.5 * 0.5 * 0.5, abs=0.04)


def in_air(known: Known | None = None) -> CachedCase:
    """A body of 30 voxels in the corner of a scan of 90, a liver in it, air all around."""
    label = np.zeros((90, 90, 90), dtype=np.uint8)
    label[8:20, 8:20, 8:20] = Code.LIVER
    image = np.zeros(label.shape, dtype=np.uint8)
    image[:30, :30, :30] = 90
    return CachedCase("a", torch.from_numpy(label), torch.from_numpy(image), known or Known())


def test_what_lies_beyond_the_scan_is_air():
    case = in_air()
    assert tissue_share(case.image, np.array([15.0, 15.0, 15.0]), (20, 20, 20)) == 1
    assert tissue_share(case.image, np.array([0.0, 15.0, 15.0]), (20, 20, 20)) == pytest.approx(0.5)
    assert tissue_share(case.image, np.array([-40.0, 15.0, 15.0]), (20, 20, 20)) == 0


@pytest.mark.parametrize("task", [LiverTask, LesionTask, ScanTask])
def test_empty_patches_are_dropped_where_that_is_asked_for(task):
    case, patch, shares = in_air(), (16, 16, 16), Shares(0.0, 0.1, 0.9)
    settings = {"settings": ScanConfig(classes=["liver"])} if task is ScanTask else {}
    empty = {}
    for least in (0.0, 0.1):
        drawing = task({"a": case}, shares, 0.0, patch, least_tissue=least, **settings)
        rng = np.random.default_rng(4)
        places = [drawing.center(case, rng) for _ in range(200)]
        empty[least] = np.mean([tissue_share(case.image, place, patch) < 0.1 for place in places])
    assert empty[0.0] > 0.6
    # Of 20 tries one in twelve fits: some patches find none.
    assert empty[0.1] < 0.35


def test_maps_without_a_scan_drop_nothing():
    label = torch.ones((32, 32, 32), dtype=torch.uint8)
    case = CachedCase("a", label, None, Known())
    task = CouinaudTask({"a": case}, Shares(), 0.0, (16, 16, 16), least_tissue=0.5)
    assert task.sample(np.random.default_rng(0)).target.shape == (16, 16, 16)


def test_a_liver_without_lesions_gives_patches_of_liver_instead():
    label = np.minimum(label_with_two_lesions(), 1)
    places = Places.of(cached("a", label))
    rng = np.random.default_rng(4)
    inside = [label[tuple(places.center(Shares(0.6, 0.4, 0.0), rng).astype(int))] for _ in range(50)]
    assert all(inside)


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (-0.1, 1.0, 0.1)])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(ValueError, match="sum to 1"):
        Shares(*shares)


def test_a_sample_is_the_same_for_the_same_number_and_differs_for_another():
    task = LesionTask({"a": cached("a", label_with_two_lesions())}, Shares(), 0.0, (32, 32, 32))
    one, same, other = (task.sample(np.random.default_rng((1, n))) for n in (7, 7, 8))
    assert torch.equal(one.inputs, same.inputs)
    assert torch.equal(one.target, same.target)
    assert not torch.equal(one.inputs, other.inputs)


@pytest.mark.parametrize("vessels", ["kinds", "vessels", "none"])
def test_every_code_of_a_target_is_in_a_group_of_what_the_labels_tell_apart(vessels):
    label = label_with_two_lesions()
    if vessels == "vessels":
        label[label == Code.HEPATIC_VEIN] = Code.VESSEL
    if vessels == "none":
        label[label == Code.HEPATIC_VEIN] = Code.LIVER
    task = LesionTask({"a": cached("a", label, Known(vessels=vessels))}, Shares(), 0.0, (32, 32, 32))
    for number in range(10):
        sample = task.sample(np.random.default_rng(number))
        known = {code for group in sample.groups for code in group}
        assert set(sample.target.unique().tolist()) <= known
        assert sample.inputs.shape == (2, 32, 32, 32)
        assert 0 <= sample.inputs.min() <= sample.inputs.max() <= 1


def test_stage_1_sees_lesions_as_liver():
    task = LiverTask({"a": cached("a", label_with_two_lesions())}, Shares(0.0, 1.0, 0.0), 0.0, (32, 32, 32))
    targets = [task.sample(np.random.default_rng(n)).target for n in range(5)]
    assert {int(v) for target in targets for v in target.unique()} == {0, 1}


def test_the_couinaud_task_counts_voxels_of_the_liver_alone():
    label = np.zeros((30, 30, 30), dtype=np.uint8)
    label[4:26, 4:26, 4:15] = 3
    label[4:26, 4:26, 15:26] = 8
    task = CouinaudTask({"a": cached("a", label)}, Shares(), 0.0, (48, 48, 48))
    sample = task.sample(np.random.default_rng(1))
    assert set(sample.target[sample.counted].unique().tolist()) == {2, 7}
    assert (sample.inputs[0][sample.counted] == 1).all()


def test_the_couinaud_task_sees_livers_that_took_from_neighbors_or_lost_a_piece_of_their_rim():
    liver = torch.zeros((48, 48, 48))
    liver[10:38, 10:38, 10:38] = 1
    found = [imitate_stage2(liver, np.random.default_rng(seed)) for seed in range(60)]
    taken = [float(mask[liver == 0].sum()) for mask in found]
    lost = [float((1 - mask)[liver > 0].sum()) for mask in found]
    assert all(set(mask.unique().tolist()) == {0.0, 1.0} for mask in found)
    assert 8 <= sum(voxels > 300 for voxels in taken) <= 35
    assert 8 <= sum(voxels > 300 for voxels in lost) <= 35
    # Pieces of the rim alone are lost, never the middle.
    assert all(mask[16:32, 16:32, 16:32].all() for mask in found)


def test_a_cached_case_comes_back_as_it_was_and_half_written_ones_are_not_listed(tmp_path):
    label = label_with_two_lesions()
    write_cached(tmp_path, "a", label, None, Known(vessels="kinds"))
    (tmp_path / "b").mkdir()
    np.save(tmp_path / "b" / "label.npy", label)
    assert cached_names(tmp_path) == ["a"]
    case = load_cached(tmp_path, "a")
    assert case.known == Known(vessels="kinds")
    assert case.image is None
    assert np.array_equal(case.label.numpy(), label)


def test_a_case_that_is_written_again_is_whole_only_at_its_end_and_keeps_nothing_old(tmp_path, monkeypatch):
    label = label_with_two_lesions()
    more = {"segments": label, "grid": CachedGrid(WHOLE, (1.5,) * 3), "slices": {"numbers": [0]}}
    write_cached(tmp_path, "a", label, label, Known(), label > 0, label > 1, **more)
    assert len(list((tmp_path / "a").iterdir())) == 8
    with monkeypatch.context() as full:
        full.setattr(cache.np, "save", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(UsageError, match=r"cannot write .*a: no space left on the disk"):
            write_cached(tmp_path, "a", label, None, Known())
    with pytest.raises(InputRefused, match="no cached case"):
        cached_names(tmp_path)
    write_cached(tmp_path, "a", label, None, Known(lesions=False))
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["case.json", "label.npy"]
    assert load_cached(tmp_path, "a").known == Known(lesions=False)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write"):
        write_cached(tmp_path / "file", "a", label, None, Known())


def test_a_cached_case_says_what_its_voxels_are_and_an_old_one_does_not(tmp_path):
    label = label_with_two_lesions()
    for grid in (
        CachedGrid(WHOLE, (4.0, 2.0, 1.5), (-100.0, 200.0)),
        CachedGrid("slices", None, None, 3),
        None,
    ):
        write_cached(tmp_path, "a", label, None, Known(), grid=grid)
        assert cached_grid(tmp_path, "a") == grid
    (tmp_path / "a" / "grid.json").write_text('{"kind": "whole"}')
    with pytest.raises(InputRefused, match=r"grid\.json is damaged .* make the cache again"):
        cached_grid(tmp_path, "a")


def test_a_map_with_a_split_segment_iv_has_eight_segments_in_the_cache(tmp_path):
    segments = np.zeros((12, 12, 12), dtype=np.uint8)
    for number in range(9):
        segments[2:10, 2:10, 1 + number] = number + 1
    write_array(segments, np.diag([5.0, 5.0, 5.0, 1.0]), tmp_path / "map.nii.gz")
    cache_couinaud_map(tmp_path / "map.nii.gz", 5.0, tmp_path / "cache")
    label = load_cached(tmp_path / "cache", "map").label
    assert {int(v) for v in label.unique()} == set(range(9))
    assert int((label == 4).sum()) == 2 * int((label == 5).sum())
    assert cached_grid(tmp_path / "cache", "map") == CachedGrid(SEGMENTS, (5.0,) * 3, None)


def test_further_cases_are_drawn_by_their_share_and_count_only_where_they_can_be_trusted():
    label = label_with_two_lesions()
    counted = torch.zeros(label.shape, dtype=torch.bool)
    counted[16:24] = True
    teacher = replace(cached("crlm_1004", label), counted=counted)
    cases = {"a": cached("a", np.minimum(label, 1)), "crlm_1004": teacher}
    task = LesionTask(cases, Shares(0, 1, 0), 0.0, (32, 32, 32), further=("crlm_1004",), further_share=0.4)
    samples = [task.sample(np.random.default_rng(n)) for n in range(60)]
    partly = [sample for sample in samples if not sample.counted.all()]
    assert len(partly) / 60 == pytest.approx(0.4, abs=0.15)
    shares = [float(sample.counted.float().mean()) for sample in partly]
    assert max(shares) < 0.6
    assert np.mean(shares) > 0.1


def test_planted_lesions_come_into_livers_that_have_none():
    label = np.zeros((64, 64, 64), dtype=np.uint8)
    label[8:56, 8:56, 8:56] = Code.LIVER
    image = np.clip(np.random.default_rng(5).normal(166, 6, label.shape), 0, 255).astype(np.uint8)
    healthy = CachedCase("a", torch.from_numpy(label), torch.from_numpy(image), Known())
    for share, expected in ((0.0, 0), (1.0, 8)):
        task = LesionTask({"a": healthy}, Shares(0, 1, 0), 0.0, (48, 48, 48), planted_share=share)
        targets = [task.sample(np.random.default_rng(n)).target for n in range(8)]
        assert sum(bool((target == Code.LESION).any()) for target in targets) == expected


def test_patches_are_mirrored_with_their_labels_along_the_named_axes_alone():
    label = np.zeros((32, 32, 32), dtype=np.uint8)
    label[4:28, 4:28, 4:28] = Code.LIVER
    label[6:12, 8:12, 8:12] = Code.LESION
    case = cached("a", label)
    assert case.image is not None
    case.image[label == Code.LESION] = 30
    task = LesionTask({"a": case}, Shares(0, 0, 1), 0.0, (32, 32, 32), flip=(0,))
    task.change = augment.SpatialRange(0, 0, 0, 0)
    task.center = lambda case, rng: np.array([15.5, 15.5, 15.5])
    above = 0
    for seed in range(20):
        sample = task.sample(np.random.default_rng(seed))
        lesion = torch.argwhere(sample.target == Code.LESION).float().mean(dim=0)
        above += int(lesion[0] > 16)
        assert lesion[1] < 12 and lesion[2] < 12
        dark = sample.inputs[0][sample.target == Code.LESION].mean()
        assert dark < sample.inputs[0][sample.target == Code.LIVER].mean()
    assert 5 <= above <= 15


def test_the_rough_liver_of_a_sample_sometimes_takes_neighbors_and_loses_parts():
    target = torch.zeros((48, 48, 48), dtype=torch.long)
    target[12:36, 12:36, 6:28] = 1
    image = torch.full(target.shape, 0.2)
    image[target > 0] = 0.6
    image[12:36, 12:36, 28:36] = 0.9
    # A gallbladder: as dark as bile.
    image[20:30, 36:44, 10:20] = 0.43
    bowel, bile, lost = [], [], []
    for seed in range(100):
        rough = imitate_stage1(target, image, np.random.default_rng(seed))
        bowel.append(float(rough[14:34, 14:34, 30:34].mean()))
        bile.append(float(rough[22:28, 38:42, 12:18].mean()))
        lost.append(float(1 - rough[16:32, 16:32, 10:24].mean()))
    assert 3 <= sum(share > 0.3 for share in bowel) <= 40
    assert 10 <= sum(share > 0.3 for share in bile) <= 50
    assert 1 <= sum(share > 0.05 for share in lost) <= 40
    assert np.median(bowel) < 0.05 and np.median(bile) == 0
    assert np.median(lost) < 0.01
