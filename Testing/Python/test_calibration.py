"""The confidence of found lesions: a known law is found again, and figures are exact on known cases."""

from __future__ import annotations

import csv
import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from liverseg import calibration
from liverseg.calibration import Calibration
from liverseg.errors import ModelError, UsageError
from liverseg.isotonic import IsotonicCalibration, fit_isotonic

ROOT = Path(__file__).resolve().parents[2]
LAW = Calibration((0.7, 0.9, 0.0), (0.1, 0.08, 1.5), (1.2, 0.8, -0.6), 0.4)


def made_up_lesions(count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Features (count, 3), and truth drawn by the law."""
    rng = np.random.default_rng(seed)
    mean = rng.uniform(0.45, 0.98, count)
    peak = np.minimum(1.0, mean + rng.uniform(0.0, 0.3, count))
    volume = np.exp(rng.uniform(np.log(0.03), np.log(80), count))
    features = np.column_stack([mean, peak, np.log(volume)])
    return features, rng.random(count) < LAW.probability(features)


def test_the_law_that_made_the_lesions_is_found_again() -> None:
    features, truth = made_up_lesions(20_000)
    found = calibration.fit(features, truth)
    assert np.abs(found.probability(features) - LAW.probability(features)).max() < 0.04
    # Weights are compared in the features' own units.
    own = np.array(found.weights) / found.scales
    assert own == pytest.approx(np.array(LAW.weights) / LAW.scales, rel=0.12)


def test_calibrated_confidence_is_the_share_of_true_lesions() -> None:
    features, truth = made_up_lesions(20_000)
    unseen, unseen_truth = made_up_lesions(20_000, seed=2)
    found = calibration.fit(features, truth)
    curve = calibration.reliability(found.probability(unseen), unseen_truth, bins=8)
    assert sum(each.count for each in curve) == 20_000
    assert calibration.expected_calibration_error(curve) < 0.015
    raw = calibration.reliability(unseen[:, 0], unseen_truth, bins=8)
    assert calibration.expected_calibration_error(raw) > 0.05


def test_lesions_that_are_told_apart_perfectly_keep_the_fit_finite() -> None:
    features = np.column_stack([np.linspace(0.5, 0.9, 10), np.full(10, 0.95), np.zeros(10)])
    found = calibration.fit(features, features[:, 0] > 0.7)
    assert np.isfinite([*found.weights, found.intercept]).all()
    probability = found.probability(features)
    assert (np.diff(probability) > 0).all()
    assert probability[0] < 0.1
    assert probability[-1] > 0.9


@pytest.mark.parametrize(
    ("scores", "truth", "area"),
    [
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], 1.0),
        ([0.9, 0.8, 0.2, 0.1], [0, 0, 1, 1], 0.0),
        ([0.5, 0.5, 0.5, 0.5], [0, 1, 0, 1], 0.5),
        ([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], 0.75),
        ([0.3, 0.3, 0.9], [0, 1, 1], 0.75),
        ([0.3, 0.9], [1, 1], None),
        ([], [], None),
    ],
)
def test_the_area_under_the_curve_counts_pairs(
    scores: list[float], truth: list[int], area: float | None
) -> None:
    assert calibration.auc(scores, np.array(truth, dtype=bool)) == area


def test_the_area_equals_that_of_all_pairs_one_by_one() -> None:
    rng = np.random.default_rng(4)
    scores, truth = np.round(rng.random(60), 1), rng.random(60) < 0.4
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[truth] for b in scores[~truth]]
    assert calibration.auc(scores, truth) == pytest.approx(np.mean(pairs))


def test_the_brier_score_and_the_calibration_error_by_hand() -> None:
    assert calibration.brier_score([0.8, 0.3], [1, 0]) == pytest.approx((0.04 + 0.09) / 2)
    curve = calibration.reliability([0.2, 0.2, 0.8, 0.8], [0, 1, 1, 1], bins=2)
    assert [(b.count, b.probability, b.true_share) for b in curve] == [(2, 0.2, 0.5), (2, 0.8, 1.0)]
    assert calibration.expected_calibration_error(curve) == pytest.approx((0.3 + 0.2) / 2)


def test_a_person_is_never_judged_by_a_model_that_saw_it() -> None:
    features, truth = made_up_lesions(300)
    persons = [f"p{n % 10}" for n in range(300)]
    unseen = calibration.cross_validated(features, truth, persons)
    own = np.array(persons) == "p3"
    expected = calibration.fit(features[~own], truth[~own]).probability(features[own])
    assert unseen[own] == pytest.approx(expected)
    with pytest.raises(UsageError, match="single person"):
        calibration.cross_validated(features, truth, ["p"] * 300)


def test_too_few_lesions_and_missing_numbers_are_refused() -> None:
    features, truth = made_up_lesions(40)
    with pytest.raises(UsageError, match="too few"):
        calibration.fit(features, np.ones(40, dtype=bool))
    features[3, 1] = np.nan
    with pytest.raises(UsageError, match="no number"):
        calibration.fit(features, truth)


def test_features_and_confidences_of_lesions_on_a_grid() -> None:
    labels = np.zeros((4, 5, 6), dtype=np.uint16)
    score = np.zeros(labels.shape, dtype=np.float32)
    labels[0, 0, :4], score[0, 0, :4] = 3, [0.5, 0.6, 0.7, 1.0]
    labels[2, 2, 2], score[2, 2, 2] = 7, 0.9
    features = calibration.lesion_features(labels, score, voxel_volume_ml=0.5)
    assert list(features) == [3, 7]
    assert features[3] == pytest.approx([0.7, 1.0, np.log(2.0)])
    assert features[7] == pytest.approx([0.9, 0.9, np.log(0.5)])
    assert calibration.confidences(labels, score, 0.5, None) == {3: 0.7, 7: 0.9}
    told = calibration.confidences(labels, score, 0.5, LAW)
    assert told[3] == pytest.approx(LAW.probability(features[3])[0], abs=1e-4)
    assert calibration.confidences(np.zeros_like(labels), score, 0.5, LAW) == {}


def test_a_card_keeps_the_model_and_one_without_it_is_raw() -> None:
    card = {"confidence": json.loads(json.dumps(calibration.card_block(LAW)))}
    assert calibration.from_card(card) == LAW
    assert calibration.from_card({}) is None


@pytest.mark.parametrize(
    "spoil",
    [
        {"method": "forest"},
        {"features": ["max_score"]},
        {"features": ["mean_score"]},
        {"weights": [1.0, 2.0]},
        {"scales": [1.0, 0.0, 1.0]},
        {"means": ["a", 0.0, 0.0]},
        {"intercept": None},
        {"intercept": float("nan")},
    ],
)
def test_a_damaged_card_is_refused(spoil: dict) -> None:
    with pytest.raises(ModelError, match="confidence"):
        calibration.from_card({"confidence": calibration.card_block(LAW) | spoil})


def write_table(path: Path, count: int = 400, **changes: str) -> None:
    write_claims(path, *made_up_lesions(count), **changes)


def write_claims(path: Path, features: np.ndarray, truth: np.ndarray, **changes: str) -> None:
    """Found lesions (mean, peak, log of the volume) of twelve persons, and which are true."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(
            file, ["case", "kind", "id", "confidence_mean", "confidence_max", "volume_ml", "matched"]
        )
        writer.writeheader()
        for n, (row, yes) in enumerate(zip(features, truth, strict=True)):
            cells = {"case": f"case_{n % 12:02d}", "kind": "claim", "id": n}
            cells |= {"confidence_mean": row[0], "confidence_max": row[1]}
            cells |= {"volume_ml": np.exp(row[2]), "matched": bool(yes)}
            writer.writerow(cells | changes)


def run(*arguments: Path | str) -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "calibrate_confidence.py"))
    script["main"]([str(argument) for argument in arguments])


RAW, PLATT, RISING, LOGISTIC = (
    "mean score",
    "logistic of the mean score",
    "rising curve of the mean score",
    "logistic of mean, peak and volume",
)


def test_the_script_writes_the_block_for_the_card_and_a_plot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="the reliability plot needs matplotlib")
    write_table(tmp_path / "fold0.csv")
    run("--tables", tmp_path / "fold0.csv", "--out", tmp_path / "out")
    block = json.loads((tmp_path / "out" / "confidence.json").read_text(encoding="utf-8"))
    read = calibration.from_card({"confidence": block})
    features, truth = made_up_lesions(400)
    figures = block["cross_validation_by_person"]
    assert figures["chosen"] == LOGISTIC, "the law is one of all three features"
    assert read.probability(features) == pytest.approx(
        calibration.fit(features, truth).probability(features), abs=1e-3
    )
    assert block["fitted_on"] == {
        "persons": 12,
        "true_lesions": int(truth.sum()),
        "false_lesions": int((~truth).sum()),
    }
    assert figures[RAW]["auc"] == pytest.approx(calibration.auc(features[:, 0], truth), abs=1e-4)
    assert figures[LOGISTIC]["auc"] > figures[RAW]["auc"]
    for way in (PLATT, RISING, LOGISTIC):
        assert figures[way]["brier"] < figures[RAW]["brier"]
        assert figures[way]["expected_calibration_error"] < figures[RAW]["expected_calibration_error"]
    said = capsys.readouterr().out
    assert f"| **{LOGISTIC}** |" in said and f"| {PLATT} |" in said and "calibration error" in said
    assert (tmp_path / "out" / "reliability.png").stat().st_size > 10_000


def table_of(path: Path, chance) -> None:
    """Lesions whose truth is drawn by a chance (n,) of their mean scores alone."""
    rng = np.random.default_rng(5)
    scores = rng.uniform(0.02, 0.98, 900)
    truth = rng.random(900) < chance(scores)
    same = np.ones_like(scores)
    write_claims(path, np.stack([scores, 0.99 * same, 0 * same], axis=1), truth)


def test_scores_that_are_probabilities_already_stay_as_they_are(tmp_path: Path) -> None:
    table_of(tmp_path / "honest.csv", lambda scores: scores)
    run("--tables", tmp_path / "honest.csv", "--out", tmp_path / "out")
    block = json.loads((tmp_path / "out" / "confidence.json").read_text(encoding="utf-8"))
    assert block["method"] == "raw" and block["cross_validation_by_person"]["chosen"] == RAW
    assert calibration.from_card({"confidence": block}) is None
    labels = np.array([[[0, 1]]], dtype=np.uint16)
    told = calibration.confidences(
        labels, np.array([[[0.0, 0.7]]]), 1.0, calibration.from_card({"confidence": block})
    )
    assert told == {1: 0.7}


def test_a_confidence_that_falls_as_a_score_rises_is_not_chosen_however_well_it_fits(tmp_path: Path) -> None:
    features, _ = made_up_lesions(400)
    odd = 1 / (1 + np.exp(12 * (features[:, 1] - np.median(features[:, 1]))))
    truth = np.random.default_rng(3).random(len(features)) < odd
    write_claims(tmp_path / "odd.csv", features, truth)
    run("--tables", tmp_path / "odd.csv", "--out", tmp_path / "out")
    block = json.loads((tmp_path / "out" / "confidence.json").read_text(encoding="utf-8"))
    figures = block["cross_validation_by_person"]
    assert figures[LOGISTIC]["brier"] == min(figures[way]["brier"] for way in (RAW, PLATT, RISING, LOGISTIC))
    assert figures["chosen"] not in (LOGISTIC, PLATT)


def test_a_step_in_the_scores_is_followed_by_the_rising_curve(tmp_path: Path) -> None:
    table_of(tmp_path / "step.csv", lambda scores: np.where(scores > 0.4, 0.9, 0.1))
    card = tmp_path / "card.json"
    card.write_text(json.dumps({"name": "m", "networks": {}}), encoding="utf-8")
    run("--tables", tmp_path / "step.csv", "--out", tmp_path / "out", "--card", card)
    written = json.loads(card.read_text(encoding="utf-8"))
    assert written["name"] == "m" and written["confidence"]["method"] == "isotonic"
    read = calibration.from_card(written)
    low, high = read.probability([[0.2, 0.99, 0.0], [0.7, 0.99, 0.0]])
    assert low == pytest.approx(0.1, abs=0.06) and high == pytest.approx(0.9, abs=0.06)
    with pytest.raises(SystemExit) as stopped:
        run("--tables", tmp_path / "step.csv", "--out", tmp_path / "out", "--card", tmp_path / "step.csv")
    assert stopped.value.code == 2


def test_a_bundles_card_takes_the_confidence_that_was_fitted(tmp_path: Path) -> None:
    pytest.importorskip("lightning", reason="training needs pip install 'liverseg[train]'")
    card_facts = runpy.run_path(str(ROOT / "scripts" / "export_bundle.py"))["card_facts"]
    facts, confidence = tmp_path / "facts.json", tmp_path / "confidence.json"
    facts.write_text(json.dumps({"license": "mine"}), encoding="utf-8")
    confidence.write_text(json.dumps(calibration.card_block(LAW)), encoding="utf-8")
    told = card_facts(facts, confidence)
    assert told["license"] == "mine" and calibration.from_card(told) == LAW
    confidence.write_text(json.dumps({"method": "magic"}), encoding="utf-8")
    with pytest.raises(ModelError, match="does not know"):
        card_facts(facts, confidence)


def test_platt_and_the_rising_curve_keep_the_order_of_the_scores() -> None:
    features, truth = made_up_lesions(500)
    order = np.argsort(features[:, 0])
    for fit in (calibration.fit_platt, calibration.fit_rising):
        model = fit(features, truth)
        assert (np.diff(model.probability(features[order])) >= 0).all()
        again = calibration.from_card({"confidence": calibration.card_block(model)})
        assert again.probability(features) == pytest.approx(model.probability(features), abs=1e-4)


def test_the_rising_curve_by_hand() -> None:
    curve = fit_isotonic([0.1, 0.2, 0.3, 0.4, 0.4, 0.9], [0, 1, 0, 1, 0, 1])
    assert curve.scores == pytest.approx((0.1, 0.325, 0.9))
    assert curve.shares == pytest.approx((1 / 8, 0.5, 7 / 8))
    told = curve.probability([[0.0, 1.0, 0.0], [0.325, 1.0, 0.0], [0.6125, 1.0, 0.0], [1.0, 1.0, 0.0]])
    assert told == pytest.approx((1 / 8, 0.5, 0.6875, 7 / 8))


@pytest.mark.parametrize(
    "spoil",
    [
        {"scores": [0.5, 0.4]},
        {"shares": [0.5]},
        {"shares": [0.9, 0.1]},
        {"shares": [0.1, 1.2]},
        {"scores": [], "shares": []},
        {"features": ["mean_score", "max_score", "log_volume_ml"]},
    ],
)
def test_a_damaged_curve_is_refused(spoil: dict) -> None:
    block = calibration.card_block(IsotonicCalibration((0.2, 0.8), (0.1, 0.9)))
    assert calibration.from_card({"confidence": block}) is not None
    with pytest.raises(ModelError, match="confidence"):
        calibration.from_card({"confidence": block | spoil})


def test_the_script_refuses_bad_tables_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(tmp_path / "twice.csv", 40, id="1")
    write_table(tmp_path / "high.csv", 40, confidence_mean="1.5")
    write_table(tmp_path / "truth.csv", 40, matched="perhaps")
    write_table(tmp_path / "few.csv", 40, matched="True")
    (tmp_path / "columns.csv").write_text("case,lesion\na,1\n", encoding="utf-8")
    (tmp_path / "latin.csv").write_bytes((tmp_path / "few.csv").read_bytes() + "Jürgen".encode("latin-1"))
    words = {"twice": "before", "high": "0 to 1", "truth": "matched", "few": "too few", "columns": "column"}
    words |= {"latin": "UTF-8"}
    for name, word in {**words, "missing": "cannot read"}.items():
        with pytest.raises(SystemExit) as stopped:
            run("--tables", tmp_path / f"{name}.csv", "--out", tmp_path / "out")
        assert stopped.value.code == 2, name
        told = capsys.readouterr().err
        assert len(told.strip().splitlines()) == 1, told
        assert word in told
    with pytest.raises(SystemExit) as stopped:
        run("--tables", tmp_path / "few.csv", "--out", tmp_path / "out", "--bins", "0")
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("calibrate_confidence: --bins 0: ")
    assert not (tmp_path / "out").exists()
