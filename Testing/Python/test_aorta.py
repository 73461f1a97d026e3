"""The aorta: found by stage 1 outside of the liver, learned only where it was drawn, no guide of a split."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from liverseg.aorta import find_aorta
from liverseg.bundle import save_network
from liverseg.couinaud import SplitOptions, split_liver
from liverseg.errors import UsageError
from liverseg.labels import AORTA
from liverseg.masks_reading import read_masks
from liverseg.networks import build_network
from liverseg.pipeline import _with_aorta
from liverseg.resample import resize
from liverseg.segment_tags import segments_of
from liverseg.training.augment import cut_field_of_view
from liverseg.training.cache import STAGE1_SPACING, cache_scan
from liverseg.training.cached_cases import CachedCase, Known, load_cached, write_cached
from liverseg.training.config import DataConfig, OptimizerConfig, RunConfig, TaskConfig, TrainerConfig
from liverseg.training.config_checks import check_config
from liverseg.training.datasets import list_scans
from liverseg.training.export import export_bundle
from liverseg.training.run import train
from liverseg.training.sampling import Shares
from liverseg.training.tasks import LiverTask
from liverseg.writers import write_case
from made_cases import make_case
from made_data import SHAPE, made_scan, write_array, write_folder

CLASSES = ("background", "liver", "aorta")


def column(shape: tuple[int, int, int], low: int, high: int) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[:, low:high, low:high] = True
    return mask


def scores(found: np.ndarray) -> torch.Tensor:
    aorta = torch.from_numpy(found.astype(np.float32)) * 0.9
    return torch.stack([1 - aorta, torch.zeros_like(aorta), aorta])


def test_the_aorta_comes_on_the_finer_grid_and_is_its_largest_piece_alone():
    found = column((20, 24, 24), 8, 14)
    found[3:6, 18:22, 18:22] = True
    aorta = find_aorta(scores(found), CLASSES, (40, 96, 48))
    assert aorta is not None
    assert aorta.shape == (40, 96, 48)
    assert aorta[:, 36:52, 18:26].all()
    assert not aorta[:, 64:].any(), "the other piece is none"
    assert np.count_nonzero(aorta) == pytest.approx(20 * 6 * 6 * 2 * 4 * 2, rel=0.25)


def test_a_few_voxels_are_no_aorta_and_a_network_without_the_class_knows_none():
    small = np.zeros((20, 24, 24), dtype=bool)
    small[4:8, 8:12, 8:12] = True
    aorta = find_aorta(scores(small), CLASSES, (20, 24, 24))
    assert aorta is not None
    assert not aorta.any()
    assert find_aorta(scores(small)[:2], CLASSES[:2], (20, 24, 24)) is None


def test_a_box_of_a_resized_volume_is_that_part_of_the_whole():
    volume = torch.rand(2, 7, 9, 8)
    box = (slice(3, 11), slice(0, 20), slice(5, 9))
    part = resize(volume, (14, 20, 12), box)
    torch.testing.assert_close(part, resize(volume, (14, 20, 12))[(slice(None), *box)])
    same = resize(volume, (7, 9, 8), (slice(1, 3), slice(2, 9), slice(0, 8)))
    torch.testing.assert_close(same, volume[:, 1:3, 2:9])


def test_liver_and_its_vessels_win_over_the_aorta_and_a_model_without_one_changes_nothing():
    liver, aorta = column((8, 16, 16), 2, 9), column((8, 16, 16), 7, 12)
    vessels = np.zeros(liver.shape, np.uint8)
    vessels[:, 9, 9:11] = 2
    both = _with_aorta(vessels, aorta, liver)
    assert both is not None
    assert set(np.unique(both[liver])) == {0}
    assert (both[:, 9, 9:11] == 2).all()
    assert (both[:, 11, 11] == AORTA.label).all()
    assert _with_aorta(vessels, None, liver) is vessels
    alone = _with_aorta(None, aorta, liver)
    assert alone is not None
    assert set(np.unique(alone)) == {0, AORTA.label}


def test_it_is_a_segment_where_it_was_found_and_comes_back_from_the_files(tmp_path):
    case = make_case(vessels=True)
    assert "aorta" in {segment.structure.key for segment in segments_of(case)}
    without = np.where(case.masks.vessels == AORTA.label, 0, case.masks.vessels).astype(np.uint8)
    plain = replace(case, masks=replace(case.masks, vessels=without))
    keys = {segment.structure.key for segment in segments_of(plain)}
    assert "aorta" not in keys
    assert {"portal_vein", "hepatic_veins"} <= keys
    write_case(case, tmp_path, ["liver", "couinaud", "lesions", "vessels", "report"])
    read = read_masks(tmp_path, case.ct)
    np.testing.assert_array_equal(read.masks.vessels, case.masks.vessels)


def test_the_aorta_guides_no_split():
    case = make_case((40, 48, 48), (4.0, 4.0, 4.0), vessels=True)
    vessels = case.masks.vessels
    options = SplitOptions("vessels")
    guided = split_liver(case.masks.liver, case.ct.geometry, None, options, vessels)
    without = np.where(vessels == AORTA.label, 0, vessels)
    alike = split_liver(case.masks.liver, case.ct.geometry, None, options, without)
    np.testing.assert_array_equal(guided.labels, alike.labels)


def drawn_folder(root: Path, anatomy: np.ndarray, affine: np.ndarray | None = None) -> Path:
    """A full-size scan with a map of its anatomy."""
    made = made_scan("ircad_02")
    write_folder("project-whole", root, [made])
    write_array(
        anatomy, made.ct_affine if affine is None else affine, root / "ct" / "ircad_02" / "anatomy.nii.gz"
    )
    return root


def cached(root: Path) -> CachedCase:
    (scan,) = list_scans("project-3mm", root, [])
    cache_scan(scan, STAGE1_SPACING, root / "cache", None)
    return load_cached(root / "cache", "ircad_02")


def test_a_drawn_aorta_is_cached_without_its_branches(tmp_path):
    anatomy = np.ones(SHAPE, np.uint8)
    anatomy[:, 18:22, 20:24] = 9
    anatomy[8:9, 20:21, 8:20] = 9
    case = cached(drawn_folder(tmp_path, anatomy))
    assert case.aorta is not None
    assert case.aorta.shape == case.label.shape
    # Canonical order counts from the front and from the right, the file from behind and from the left.
    assert case.aorta[:, 3:5, 5:7].all()
    assert not case.aorta[:, :, 9:].any(), "the branch is thinner than an aorta"


def test_arteries_that_end_within_the_scan_do_not_tell_where_the_aorta_is_not(tmp_path):
    anatomy = np.ones(SHAPE, np.uint8)
    anatomy[:10, 18:22, 20:24] = 9
    assert cached(drawn_folder(tmp_path, anatomy)).aorta is None


def test_arteries_as_thin_as_branches_are_no_aorta_that_was_drawn(tmp_path):
    anatomy = np.ones(SHAPE, np.uint8)
    anatomy[:, 20:21, 20:21] = 9
    assert cached(drawn_folder(tmp_path, anatomy)).aorta is None


def test_a_map_on_another_grid_is_brought_onto_the_scan(tmp_path):
    fine = np.ones((SHAPE[0], 2 * SHAPE[1], 2 * SHAPE[2]), np.uint8)
    fine[:, 36:44, 40:48] = 9
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    affine[:2, 3] = -1.0
    case = cached(drawn_folder(tmp_path, fine, affine))
    assert case.aorta is not None
    places = torch.argwhere(case.aorta).float().mean(dim=0)
    # The scan's pixels have 4 mm, as the grid of stage 1 has.
    assert places[1:].tolist() == pytest.approx([3.5, 5.5], abs=0.6)


def liver_case(name: str, aorta: bool) -> CachedCase:
    label = column((40, 48, 48), 8, 28).astype(np.uint8)
    image = np.full(label.shape, 100, np.uint8)
    tube = column(label.shape, 34, 40)
    image[tube] = 220
    drawn = torch.from_numpy(tube) if aorta else None
    return CachedCase(name, torch.from_numpy(label), torch.from_numpy(image), Known(), None, drawn)


def test_stage_1_tells_the_aorta_apart_only_where_it_was_drawn():
    for drawn in (True, False):
        case = {"a": liver_case("a", drawn)}
        task = LiverTask(case, Shares(0.0, 1.0, 0.0), 0.0, (32, 32, 32), aorta_share=0.5)
        samples = [task.sample(np.random.default_rng(n)) for n in range(6)]
        found = set().union(*(set(sample.target.unique().tolist()) for sample in samples))
        assert found == ({0, 1, 2} if drawn else {0, 1})
        assert all(s.groups == (((0,), (1,), (2,)) if drawn else ((0, 2), (1,))) for s in samples)


def test_without_being_asked_for_an_aorta_is_background():
    case = {"a": liver_case("a", True)}
    task = LiverTask(case, Shares(0.0, 1.0, 0.0), 0.0, (32, 48, 48))
    samples = [task.sample(np.random.default_rng(n)) for n in range(6)]
    assert set().union(*(set(s.target.unique().tolist()) for s in samples)) == {0, 1}
    assert {s.groups for s in samples} == {((0,), (1,))}


def test_scans_with_a_drawn_aorta_are_drawn_by_their_share():
    cases = {"lits_004": liver_case("lits_004", False), "lits_005": liver_case("lits_005", True)}
    rng = np.random.default_rng(0)
    for share, expected in ((0.0, 0.5), (0.6, 0.8)):
        task = LiverTask(cases, Shares(0.0, 1.0, 0.0), 0.0, (16, 16, 16), aorta_share=share)
        drawn = [task.draw_case(rng).case for _ in range(400)]
        assert drawn.count("lits_005") / 400 == pytest.approx(expected, abs=0.06)


def test_the_aorta_moves_with_the_image():
    case = {"a": liver_case("a", True)}
    task = LiverTask(case, Shares(0.0, 1.0, 0.0), 0.0, (32, 48, 48), aorta_share=0.5)
    bright = [
        (float(s.inputs[0][s.target == 2].median()), float(s.inputs[0][s.target == 0].median()))
        for s in (task.sample(np.random.default_rng(n)) for n in range(16))
        if (s.target == 2).sum() > 100
    ]
    assert len(bright) > 4
    assert sum(aorta > other for aorta, other in bright) >= len(bright) - 1


def test_a_cut_field_of_view_is_cut_in_all_patches_of_a_place():
    ones = torch.ones(16, 8, 8)
    first, second = cut_field_of_view([ones, ones * 2], np.random.default_rng(1))
    assert 0 < (first == 0).sum() < first.numel()
    assert torch.equal(first == 0, second == 0)
    assert (ones == 1).all(), "what was given is left alone"


@pytest.mark.usefixtures("one_thread")
def test_a_network_without_the_aorta_learns_it_and_keeps_what_it_knew(tmp_path):
    for name in ("lits_004", "lits_005"):
        case = liver_case(name, True)
        arrays = (case.label.numpy(), case.image.numpy(), Known(), None, case.aorta.numpy())
        write_cached(tmp_path / "cache", name, *arrays)
    config = RunConfig(
        run=str(tmp_path / "run"),
        begin_from=str(tmp_path / "old"),
        data=DataConfig(cache=str(tmp_path / "cache"), workers=0),
        task=TaskConfig(name="stage1", patch=[16, 16, 16], filters=[4, 8, 8], deep_supervision=0, aorta=0.5),
        optimizer=OptimizerConfig(warm_up=1, learning_rate=1e-9, weight_decay=0.0),
        trainer=TrainerConfig(steps=1, steps_an_epoch=1, precision="32-true", pictures=0),
    )
    description = {"name": "DynUNet", "filters": [4, 8, 8], "in_channels": 1, "out_channels": 2}
    old = build_network(description)
    folder = tmp_path / "old"
    folder.mkdir()
    entry = {
        "network": description,
        "spacing_mm": 4.0,
        "patch": [16, 16, 16],
        "window_hu": [-160.0, 240.0],
        "classes": list(CLASSES[:2]),
        "learned_from": ["lits_006"],
        "file": "stage1.safetensors",
        "sha256": save_network(old, folder / "stage1.safetensors"),
    }
    card = {"format": 1, "name": "old", "networks": {"stage1": entry}}
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    train(config)
    export_bundle(tmp_path / "new", "new", {"stage1": tmp_path / "run"}, {})
    card = json.loads((tmp_path / "new" / "card.json").read_text(encoding="utf-8"))
    assert card["networks"]["stage1"]["classes"] == list(CLASSES)
    state = torch.load(tmp_path / "run" / "last.ckpt", map_location="cpu", weights_only=False)["state_dict"]
    head = state["network.output_block.conv.conv.weight"]
    assert head.shape[0] == 3
    torch.testing.assert_close(head[:2], old.state_dict()["output_block.conv.conv.weight"], rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("stage", "share", "drawn", "reason"),
    [
        ("stage2", 0.3, True, "a class of stage 1 alone"),
        ("stage1", 1.0, True, "above 0 and below 1"),
        ("stage1", 0.3, False, "nobody drew an aorta"),
    ],
)
def test_an_aorta_that_cannot_be_learned_is_refused(tmp_path, stage, share, drawn, reason):
    case = liver_case("lits_004", drawn)
    aorta = None if case.aorta is None else case.aorta.numpy()
    write_cached(tmp_path, "lits_004", case.label.numpy(), case.image.numpy(), Known(), None, aorta)
    task = TaskConfig(name=stage, patch=[16, 16, 16], filters=[4, 8, 8], deep_supervision=0, aorta=share)
    with pytest.raises(UsageError, match=reason):
        check_config(RunConfig(run=str(tmp_path / "run"), data=DataConfig(cache=str(tmp_path)), task=task))


def test_a_run_whose_drawn_aortas_are_all_held_out_is_refused(tmp_path):
    for name, drawn in (("lits_004", True), ("lits_005", False)):
        case = liver_case(name, drawn)
        aorta = None if case.aorta is None else case.aorta.numpy()
        write_cached(tmp_path / "cache", name, case.label.numpy(), case.image.numpy(), Known(), None, aorta)
    task = TaskConfig(name="stage1", patch=[16, 16, 16], filters=[4, 8, 8], deep_supervision=0, aorta=0.3)
    data = DataConfig(cache=str(tmp_path / "cache"), workers=0, exclude=["lits_004"])
    with pytest.raises(UsageError, match="everybody whose aorta was drawn is held out"):
        train(RunConfig(run=str(tmp_path / "run"), data=data, task=task))
    assert not (tmp_path / "run").exists()


@pytest.fixture
def evaluating(root, monkeypatch) -> ModuleType:
    """scripts/evaluate_aorta.py with one scan, whose score of a half is known without a network."""
    spec = importlib.util.spec_from_file_location("evaluate_aorta", root / "scripts" / "evaluate_aorta.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    networks = {"with": {"stage1": SimpleNamespace(classes=CLASSES)}, "without": {"couinaud": None}}
    monkeypatch.setattr(
        script,
        "find_bundle",
        lambda name: SimpleNamespace(name=name, networks=networks[name], card={"held_out": ["c_1"]}),
    )
    monkeypatch.setattr(script, "list_scans", lambda *rest: [SimpleNamespace(case="c_1")])
    monkeypatch.setattr(script, "score", lambda scan, bundle: 0.5)
    return script


def test_scores_of_the_aorta_go_into_a_folder_that_is_made_for_them(evaluating, tmp_path):
    out = tmp_path / "new" / "scores.json"
    assert evaluating.main(["--data", "d", "--models", "with", "--out", str(out)]) == 0
    assert json.loads(out.read_text())["mean_dice"] == 0.5


def test_a_model_without_stage_1_is_refused_for_the_aorta_in_one_line(evaluating, tmp_path, capsys):
    words = ["--data", "d", "--models", "with", "without", "--out", str(tmp_path / "new" / "scores.json")]
    assert evaluating.main(words) == 2
    assert capsys.readouterr().err == (
        "evaluate_aorta: without has no stage 1 that knows the aorta; name models that do\n"
    )
    assert not (tmp_path / "new").exists()
