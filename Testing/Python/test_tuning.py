"""Post-processing is tuned on validation scores, and what is chosen serves them best."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from liverseg.errors import InputRefused
from liverseg.lesion_rules import ContourRules, LesionRules, rules_from_card
from liverseg.training.score_maps import ScoreMap, list_score_maps, load_score_map, save_score_map
from liverseg.training.splits import Part, Splits, write_splits
from liverseg.training.tuning import CaseScore, Grid, Outcome, choose, score_case, tune

SPACING = (2.0, 1.5, 1.5)
SMALL_GRID = Grid(
    thresholds=(0.3, 0.5),
    smallest_ml=(0.03, 0.3),
    peaks=(((0.0, 0.5),), ((0.0, 0.9),), ((8.0, 0.9), (16.0, 0.5))),
    holes_ml=(0.0, 1.0),
    contours=(ContourRules(reach_mm=3.0),),
)


def ball(center: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    z, y, x = np.indices((36, 60, 80))
    squares = [((axis - c) * s) ** 2 for axis, c, s in zip((z, y, x), center, SPACING, strict=True)]
    return sum(squares) <= radius_mm**2


def made_scores(case: str, seed: int = 0, lesions: bool = True) -> ScoreMap:
    """A liver with a lesion of 24 mm that scores 0.7 in its middle and 0.4 at its rim, one of 12 mm that
    scores 0.95, a false claim of 9 mm that scores 0.75; the CT shows both lesions plainly."""
    rng = np.random.default_rng(seed)
    liver = np.zeros((36, 60, 80), bool)
    liver[2:-2, 2:-2, 2:-2] = True
    large, small = ball((18, 20, 22), 12), ball((18, 40, 55), 6)
    truth = (large | small) if lesions else np.zeros_like(liver)
    score = np.full(liver.shape, 0.05, np.float32)
    if lesions:
        score[large] = 0.4
        score[ball((18, 20, 22), 9)] = 0.7
        score[small] = 0.95
    score[ball((12, 12, 60), 4.5)] = 0.75
    hu = np.where(truth, 60.0, 110.0) + rng.normal(0, 8, liver.shape)
    return ScoreMap(case, score, liver, truth, hu, SPACING)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scores")
    for n, case in enumerate(("lits_002", "lits_004")):
        save_score_map(made_scores(case, n), folder)
    save_score_map(made_scores("ircad_05", 5, lesions=False), folder)
    return folder


def test_score_maps_come_back_as_they_were_up_to_half_precision(tmp_path):
    made = made_scores("lits_002")
    read = load_score_map(save_score_map(made, tmp_path))
    assert (read.case, read.person, read.spacing_mm) == ("lits_002", "lits_002", SPACING)
    assert np.array_equal(read.truth, made.truth) and np.array_equal(read.liver, made.liver)
    assert np.abs(read.score - made.score).max() < 5e-4
    assert np.abs(read.hu - made.hu).max() <= 0.5


def test_what_lies_far_from_the_liver_is_not_kept(tmp_path):
    made = made_scores("lits_002")
    liver = np.zeros_like(made.liver)
    liver[10:20, 10:20, 10:20] = True
    read = load_score_map(save_score_map(replace(made, liver=liver, truth=liver), tmp_path))
    assert read.score.shape == (26, 30, 30)
    assert read.liver.sum() == 1000


@pytest.mark.parametrize("damage", ["text", "array missing", "shape", "empty folder"])
def test_a_damaged_score_map_is_one_clear_error(tmp_path, damage):
    path = save_score_map(made_scores("lits_002"), tmp_path)
    with np.load(path) as arrays:
        content = dict(arrays)
    if damage == "text":
        path.write_text("no arrays")
    elif damage == "array missing":
        np.savez(path, **{name: array for name, array in content.items() if name != "truth"})
    elif damage == "shape":
        np.savez(path, **content | {"truth": content["truth"][1:]})
    else:
        with pytest.raises(InputRefused, match="holds no score map"):
            list_score_maps(tmp_path / "other")
        return
    with pytest.raises(InputRefused, match="lits_002.npz"):
        load_score_map(path)


def test_a_case_is_scored_by_what_the_engine_would_show():
    made = made_scores("lits_002")
    score = score_case(made, LesionRules())
    assert (score.large, score.found, score.false) == (2, 2, 1)
    shown = (made.score > 0.5) & made.liver
    assert score.dice == pytest.approx(2 * (shown & made.truth).sum() / (shown.sum() + made.truth.sum()))
    strict = score_case(made, LesionRules(smallest_peak=((0.0, 0.9),)))
    assert (strict.found, strict.false) == (1, 0)
    healthy = score_case(made_scores("ircad_05", lesions=False), LesionRules())
    assert (healthy.dice, healthy.large, healthy.false) == (None, 0, 1)


def test_the_fast_tables_give_what_the_engine_gives(folder):
    outcomes = tune(list_score_maps(folder), SMALL_GRID, contour_candidates=1)
    assert len(outcomes) == 2 * 2 * 3 * 2 + 1
    cases = [load_score_map(path) for path in list_score_maps(folder)]
    for outcome in outcomes:
        direct = Outcome.of(outcome.rules, [score_case(case, outcome.rules) for case in cases])
        assert direct == outcome


def test_the_best_setting_drops_the_false_claim_and_keeps_both_lesions(folder):
    best = choose(tune(list_score_maps(folder), SMALL_GRID))
    assert best.recall == 1 and best.false_per_ct == 0
    assert best.rules.smallest_peak == ((8.0, 0.9), (16.0, 0.5)), "small claims need a higher peak"
    assert best.rules.lesion_threshold == 0.3, "the rim of the large one scores 0.4"
    assert best.mean_dice > 0.99


def test_the_contour_is_chosen_where_it_gains_and_only_there(folder):
    too_small = replace(SMALL_GRID, thresholds=(0.5,), peaks=(((8.0, 0.9), (16.0, 0.5)),))
    outcomes = tune(list_score_maps(folder), too_small)
    chosen = choose(outcomes)
    assert chosen.rules.active_contour == ContourRules(reach_mm=3.0)
    plain = next(o for o in outcomes if o.rules == replace(chosen.rules, active_contour=None))
    assert chosen.mean_dice > plain.mean_dice + 0.05
    no_gain = [
        Outcome(LesionRules(), 0.70, 0.9, 1.0),
        Outcome(LesionRules(active_contour=ContourRules()), 0.702, 0.9, 1.0),
    ]
    assert choose(no_gain).rules.active_contour is None


def test_too_many_false_lesions_lose_against_any_setting_with_few():
    many = Outcome(LesionRules(), 0.8, 1.0, 2.5)
    few = Outcome(LesionRules(lesion_threshold=0.7), 0.5, 0.6, 2.0)
    assert sorted([many, few], key=Outcome.rank)[0] is few


def test_the_mean_dice_is_over_persons_and_not_over_scans():
    scores = [
        CaseScore("lits_000", "lits_000", 0.2, 1, 1, 0),
        CaseScore("lits_001", "lits_000", 0.4, 1, 0, 0),
        CaseScore("lits_002", "lits_002", 0.9, 2, 2, 3),
        CaseScore("ircad_05", "ircad_005", None, 0, 0, 1),
    ]
    outcome = Outcome.of(LesionRules(), scores)
    assert outcome.mean_dice == pytest.approx((0.3 + 0.9) / 2)
    assert outcome.recall == pytest.approx(3 / 4)
    assert outcome.false_per_ct == pytest.approx(1)


# --- the script


def run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = Path(__file__).resolve().parents[2] / "scripts" / "tune_postprocessing.py"
    return subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, check=False, timeout=300
    )


def test_the_script_writes_a_table_and_a_block_that_the_card_takes(folder, tmp_path):
    out, table = tmp_path / "block.json", tmp_path / "table.csv"
    done = run_script(
        "--scores", str(folder), "--quick", "--no-contour", "--out", str(out), "--table", str(table)
    )
    assert done.returncode == 0, done.stderr
    block = json.loads(out.read_text())
    assert rules_from_card(block["postprocessing"]).lesion_threshold == 0.5
    assert block["postprocessing_tuned_on"]["cases"] == ["ircad_05", "lits_002", "lits_004"]
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(Grid().peaks) * len(Grid().holes_ml)
    assert float(rows[0]["dice"]) == pytest.approx(
        block["postprocessing_tuned_on"]["mean_lesion_dice"], abs=1e-4
    )


def test_the_script_refuses_cases_that_must_not_choose(folder, tmp_path):
    parts = (Part("val", ("lits_002",), ("lits_002",)), Part("test", ("lits_004",), ("lits_004",)))
    train = Part("train", ("ircad_005",), ("ircad_05",))
    write_splits(Splits("shares", "project-roi", 0, (train, *parts)), tmp_path / "splits.json")
    arguments = ["--scores", str(folder), "--splits", str(tmp_path / "splits.json")]
    done = run_script(*arguments)
    assert done.returncode == 2 and "ircad_05, lits_004" in done.stderr and "Traceback" not in done.stderr
    done = run_script(*arguments, "--part", "test")
    assert done.returncode == 2 and "must not choose settings" in done.stderr
    done = run_script("--scores", str(tmp_path))
    assert done.returncode == 3 and "holds no score map" in done.stderr
