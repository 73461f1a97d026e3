"""The comparison of the roads: settings that can work, on our own networks' caches, for the same minutes."""

from __future__ import annotations

import importlib.util
import json
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from liverseg.training.cache import STAGE1_SPACING, STAGE2_MARGIN_MM, STAGE2_SPACING
from liverseg.training.cached_cases import WINDOW
from liverseg.training.config import RunConfig
from liverseg.training.config_checks import check_config
from liverseg.training.export import fits_stage
from liverseg.training.roads import described_network, task_facts
from liverseg.training.scan_cache import on_grid


def loaded(root: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, root / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def roads(root):
    return loaded(root, "compare_roads")


@pytest.fixture(scope="module")
def scoring(root, roads):
    return loaded(root, "score_roads")


def settings(roads: ModuleType, capsys: pytest.CaptureFixture[str], cache: Path, *words: object) -> list[str]:
    """The words that the script says each network is trained with."""
    given = ["--cache", cache, "--splits", "s.json", "--runs", "runs", "--minutes", 5, *words]
    assert roads.main(["settings", *map(str, given)]) == 0
    return capsys.readouterr().out.splitlines()


def config_of(root: Path, words: list[str]) -> RunConfig:
    ConfigStore.instance().store(name="run_config", node=RunConfig)
    with initialize_config_dir(str(root / "scripts" / "configs"), version_base="1.3"):
        config = OmegaConf.to_object(compose("train", words))
    assert isinstance(config, RunConfig)
    return config


def test_every_network_has_settings_that_can_work_and_is_judged_by_nobody_while_it_learns(
    roads, root, tmp_path, capsys
):
    for name in ("stage1", "stage2", "planted", "two_heads"):
        (tmp_path / name).mkdir()
    lines = settings(roads, capsys, tmp_path, "trainer.accelerator=auto")
    assert len(lines) == len(roads.NETWORKS)
    for (name, learned), line in zip(roads.NETWORKS.items(), lines, strict=True):
        config = config_of(root, line.split())
        check_config(config)
        assert config.run == f"runs/{name}" and config.data.part == "0"
        assert config.trainer.minutes == 5 and config.trainer.accelerator == "auto"
        assert config.data.validate == 0 and config.trainer.patience == 0
        facts = task_facts(config)
        entry = {
            "classes": list(facts.classes),
            "window_hu": facts.window_hu,
            "network": described_network(config),
        }
        assert fits_stage(entry, learned.stage)
        assert facts.window_hu == WINDOW
        assert facts.spacing_mm == (STAGE1_SPACING if learned.stage == "stage1" else STAGE2_SPACING)


def test_a_roads_grid_is_that_of_our_own_caches(roads, root, tmp_path, capsys):
    """So that what scripts/prepare_data.py wrote is what prepare_scans.py would write."""
    (tmp_path / "stage2").mkdir()
    (line,) = settings(roads, capsys, tmp_path, "--only", "patches_unet3d")
    scan = config_of(root, line.split()).scan
    hu = np.random.default_rng(1).normal(50, 80, (30, 50, 60)).astype(np.float32)
    label = np.zeros(hu.shape, np.uint8)
    label[10:20, 20:30, 20:40] = 1
    image, small = on_grid(hu, label, (5.0, 3.0, 3.0), scan)
    sides = [n * s for n, s in zip((10, 10, 20), (5.0, 3.0, 3.0), strict=True)]
    assert image.shape == tuple(round((side + 2 * STAGE2_MARGIN_MM) / STAGE2_SPACING) for side in sides)
    assert small.max() == 1


def test_networks_whose_cases_are_not_there_are_left_out_by_name(roads, tmp_path, capsys, caplog):
    (tmp_path / "stage1").mkdir()
    lines = settings(roads, capsys, tmp_path)
    assert len(lines) == sum(learned.cache == "stage1" for learned in roads.NETWORKS.values())
    assert "two_heads is left out" in caplog.text


def test_every_road_has_a_stage_1_and_a_stage_2(roads):
    for stage1, stage2 in roads.ROADS.values():
        assert roads.NETWORKS[stage1].stage == "stage1" and roads.NETWORKS[stage2].stage == "stage2"


def test_the_table_says_how_far_a_road_is_from_the_default(scoring, tmp_path):
    path = tmp_path / "comparison.json"
    assert scoring.against(path) == ""
    told = {
        "score": "lesion Dice",
        "mean_difference": -0.12,
        "interval_95_low": -0.3,
        "interval_95_high": 0.01,
    }
    path.write_text(json.dumps({"scores": [{"score": "liver Dice"}, told]}))
    assert scoring.against(path) == "-0.120 (-0.300 to +0.010)"
    (tmp_path / "log.csv").write_text("step,loss\n500,1.2\n731,0.9\n")
    assert scoring.steps_of(tmp_path) == 731


def test_without_our_default_nothing_is_scored(scoring, tmp_path, capsys):
    words = ["--runs", tmp_path, "--data", tmp_path, "--cases", "lits_000", "--couinaud", "liverseg-1.6"]
    assert scoring.main([str(word) for word in (*words, "--out", tmp_path / "out")]) == 2
    assert "without our default" in capsys.readouterr().err


def test_scores_that_were_cut_short_or_are_of_other_cases_are_made_again(scoring, tmp_path, monkeypatch):
    road = scoring.BASELINE
    folders = scoring.Folders.of(road, tmp_path)
    folders.model.mkdir(parents=True)
    (folders.model / "card.json").write_text("{}")
    scored: list[list[str]] = []

    def write(folder: Path, cases: list[str], summary: str) -> None:
        columns = "case,person,failure,lesions,liver_dice,liver_truth_ml,lesion_truth_ml"
        (folder / "cases.csv").write_text("\n".join([columns, *(f"{case},p,,1,1,1,1" for case in cases)]))
        scored.append(cases)
        if summary == "cut short":
            raise KeyboardInterrupt
        (folder / "summary.json").write_text(summary)

    monkeypatch.setattr(scoring.predict_cases, "main", lambda words: 0)
    monkeypatch.setattr(scoring, "evaluate_folders", lambda predicted, truth, cases: cases)
    monkeypatch.setattr(scoring, "write_scores", write)

    def score(cases: list[str], summary: str = "{}") -> None:
        monkeypatch.setattr(scoring, "summarize", lambda cases: summary)
        asked = {"data": tmp_path, "out": tmp_path, "device": "cpu", "quality": "full", "threads": None}
        scoring.score(road, Namespace(cases=cases, **asked))

    for cases in (["a"], ["a", "b"]):
        with pytest.raises(KeyboardInterrupt):
            score(cases, "cut short")
        assert not (folders.scores / "summary.json").exists()
        score(cases)
        score(cases[::-1])
    assert scored == [["a"], ["a"], ["a", "b"], ["a", "b"]]
