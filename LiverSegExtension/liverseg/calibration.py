"""How likely a lesion that the network found is a lesion: its scores, calibrated on unseen persons.

A logistic model of the mean score (Platt, Advances in Large Margin Classifiers 1999), the same extended by
the highest score and the size, or a rising curve (:mod:`liverseg.isotonic`). Fitted by
``scripts/calibrate_confidence.py`` on lesions of persons that training left out, kept as plain numbers under
``confidence`` in the model's card, applied by the pipeline. A card without that block, or whose method is
"raw", gives the mean score as it is, and the report's parameters say ``"confidence": "raw"``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import ndimage, optimize, stats
from scipy.special import expit

from liverseg.errors import ModelError, UsageError
from liverseg.isotonic import IsotonicCalibration, fit_isotonic

FEATURES = ("mean_score", "max_score", "log_volume_ml")
MEAN_SCORE = FEATURES[:1]
RAW, LOGISTIC, ISOTONIC = "raw", "logistic", "isotonic"
# Volumes below this are taken as it: a logarithm needs an end.
SMALLEST_ML = 0.001
# Weight of the squared coefficients (features have unit variance): keeps a fit finite when few lesions are
# told apart perfectly, and is nothing beside a hundred of them.
RIDGE = 0.01
FEWEST_OF_A_KIND = 3

Matrix = npt.NDArray[np.float64]


class AnyCalibration(Protocol):
    """From features to the chance of a true lesion."""

    def probability(self, features: npt.ArrayLike) -> Matrix:
        """Probability 0..1 (n,) that each lesion of features (n, 3), in the order of FEATURES, is true."""
        ...


Fit = Callable[[npt.ArrayLike, npt.ArrayLike], AnyCalibration]


@dataclass(frozen=True)
class Calibration:
    """A logistic model: intercept + weights x (features - means) / scales, of the first few of FEATURES."""

    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float

    def probability(self, features: npt.ArrayLike) -> Matrix:
        """Probability 0..1 (n,) that each lesion of features (n, 3) is a true one."""
        rows = np.asarray(features, dtype=np.float64).reshape(-1, len(FEATURES))[:, : len(self.weights)]
        scaled = (rows - np.array(self.means)) / np.array(self.scales)
        return expit(self.intercept + scaled @ np.array(self.weights))


def lesion_features(labels: np.ndarray, score: np.ndarray, voxel_volume_ml: float) -> dict[int, Matrix]:
    """The features (3,) of each lesion, by id.

    Args:
        labels: (k, j, i), 0 or the lesion's id.
        score: the network's lesion probability on the same grid, 0..1.
        voxel_volume_ml: volume of a voxel.
    """
    inside = labels > 0
    counts = np.bincount(labels[inside])
    ids = np.flatnonzero(counts)
    if len(ids) == 0:
        return {}
    means = np.bincount(labels[inside], weights=score[inside])[ids] / counts[ids]
    peaks = np.asarray(ndimage.maximum(score[inside], labels[inside], ids), dtype=np.float64)
    volumes = np.log(np.maximum(counts[ids] * voxel_volume_ml, SMALLEST_ML))
    return {int(n): np.array(row) for n, row in zip(ids, np.stack([means, peaks, volumes], 1), strict=True)}


def confidences(
    labels: np.ndarray, score: np.ndarray, voxel_volume_ml: float, calibration: AnyCalibration | None
) -> dict[int, float]:
    """Confidence of each lesion, 0..1, by id: calibrated, or without a calibration its mean score."""
    features = lesion_features(labels, score, voxel_volume_ml)
    if calibration is None:
        return {n: round(float(row[0]), 4) for n, row in features.items()}
    return {n: round(float(calibration.probability(row)[0]), 4) for n, row in features.items()}


def from_card(card: Mapping[str, Any]) -> AnyCalibration | None:
    """The calibration of a model card; None where it has none, or says that the score is as it should be.

    Raises:
        ModelError: the block is damaged, or of a method or with features that this version does not know.
    """
    block = card.get("confidence")
    if block is None:
        return None
    try:
        method, features = block["method"], tuple(block.get("features", MEAN_SCORE))
        if method == RAW:
            return None
        if method == LOGISTIC and features in (MEAN_SCORE, FEATURES):
            return _logistic_of(block, len(features))
        if method == ISOTONIC and features == MEAN_SCORE:
            return _isotonic_of(block)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"the model card's confidence is damaged ({error}); copy the bundle again"
        ) from error
    raise ModelError("the model card's confidence is of a kind that this version does not know")


def _logistic_of(block: Mapping[str, Any], features: int) -> Calibration:
    means, scales, weights = (tuple(float(v) for v in block[name]) for name in ("means", "scales", "weights"))
    intercept = float(block["intercept"])
    sizes = {len(means), len(scales), len(weights)}
    finite = np.isfinite([*means, *scales, *weights, intercept]).all()
    if sizes != {features} or not finite or min(scales) <= 0:
        raise ModelError("the model card's confidence is damaged; copy the bundle again")
    return Calibration(means, scales, weights, intercept)


def _isotonic_of(block: Mapping[str, Any]) -> IsotonicCalibration:
    scores, shares = (tuple(float(v) for v in block[name]) for name in ("scores", "shares"))
    rising = bool(np.all(np.diff(scores) > 0) and np.all(np.diff(shares) >= 0))
    inside = bool(np.isfinite([*scores, *shares]).all()) and all(0 <= v <= 1 for v in shares)
    if len(scores) != len(shares) or not scores or not rising or not inside:
        raise ModelError("the model card's confidence is damaged; copy the bundle again")
    return IsotonicCalibration(scores, shares)


def card_block(calibration: Calibration | IsotonicCalibration | None) -> dict[str, Any]:
    """What :func:`from_card` reads; None for the mean score as it is."""
    if calibration is None:
        return {"method": RAW}
    if isinstance(calibration, IsotonicCalibration):
        return {
            "method": ISOTONIC,
            "features": list(MEAN_SCORE),
            "scores": [round(v, 6) for v in calibration.scores],
            "shares": [round(v, 6) for v in calibration.shares],
        }
    return {
        "method": LOGISTIC,
        "features": list(FEATURES[: len(calibration.weights)]),
        "means": [round(v, 6) for v in calibration.means],
        "scales": [round(v, 6) for v in calibration.scales],
        "weights": [round(v, 6) for v in calibration.weights],
        "intercept": round(calibration.intercept, 6),
    }


def fit_platt(features: npt.ArrayLike, is_true: npt.ArrayLike) -> Calibration:
    """The most likely logistic model of the mean score alone: lesions keep their order."""
    return fit(features, is_true, MEAN_SCORE)


def fit_rising(features: npt.ArrayLike, is_true: npt.ArrayLike) -> IsotonicCalibration:
    """The best rising curve of the mean score alone; raises as :func:`fit`."""
    rows, truth = _checked(features, is_true)
    return fit_isotonic(rows[:, 0], truth)


def fit(features: npt.ArrayLike, is_true: npt.ArrayLike, names: tuple[str, ...] = FEATURES) -> Calibration:
    """The most likely logistic model of found lesions.

    Args:
        features: (n, 3), in the order of FEATURES.
        is_true: (n,) whether each is a lesion.
        names: those that count, MEAN_SCORE or FEATURES.

    Raises:
        UsageError: fewer than three true or three false lesions, or a value that is no number.
    """
    rows, truth = _checked(features, is_true)
    rows = rows[:, : len(names)]
    means, scales = rows.mean(axis=0), rows.std(axis=0)
    # A feature that is the same for all lesions tells nothing, and must not divide by zero.
    scales = np.where(scales > 1e-9, scales, 1.0)
    design = np.column_stack([np.ones(len(rows)), (rows - means) / scales])
    sign = np.where(truth, 1.0, -1.0)

    def loss(beta: Matrix) -> tuple[float, Matrix]:
        margin = sign * (design @ beta)
        penalty = RIDGE * beta[1:]
        gradient = -design.T @ (sign * expit(-margin))
        gradient[1:] += penalty
        return float(np.logaddexp(0.0, -margin).sum() + 0.5 * (penalty @ beta[1:])), gradient

    beta = optimize.minimize(loss, np.zeros(design.shape[1]), jac=True, method="BFGS").x
    return Calibration(
        tuple(means.tolist()), tuple(scales.tolist()), tuple(beta[1:].tolist()), float(beta[0])
    )


def _checked(features: npt.ArrayLike, is_true: npt.ArrayLike) -> tuple[Matrix, npt.NDArray[np.bool_]]:
    rows = np.asarray(features, dtype=np.float64).reshape(-1, len(FEATURES))
    truth = np.asarray(is_true, dtype=bool)
    if not np.isfinite(rows).all():
        raise UsageError("a feature of a lesion is no number; check the tables")
    if min(int(truth.sum()), int((~truth).sum())) < FEWEST_OF_A_KIND:
        raise UsageError(
            f"{int(truth.sum())} true and {int((~truth).sum())} false lesions are too few to calibrate; "
            f"give at least {FEWEST_OF_A_KIND} of each"
        )
    return rows, truth


def cross_validated(
    features: npt.ArrayLike, is_true: npt.ArrayLike, persons: Sequence[str], fitting: Fit = fit
) -> Matrix:
    """Probability (n,) of each lesion by a model that ``fitting`` fitted on all other persons.

    Raises:
        UsageError: a single person, or too few lesions without one of them (:func:`fit`).
    """
    rows, truth = np.asarray(features, dtype=np.float64), np.asarray(is_true, dtype=bool)
    names = np.asarray(persons)
    if len(set(persons)) < 2:
        raise UsageError("lesions of a single person cannot be cross-validated; give more cases")
    result = np.zeros(len(rows))
    for name in sorted(set(persons)):
        own = names == name
        result[own] = fitting(rows[~own], truth[~own]).probability(rows[own])
    return result


def auc(scores: npt.ArrayLike, is_true: npt.ArrayLike) -> float | None:
    """Area under the ROC curve: how often a true lesion scores above a false one, ties as half.

    The Mann-Whitney statistic (Hanley and McNeil, Radiology 1982). None without lesions of both kinds.
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(is_true, dtype=bool)
    yes, no = int(truth.sum()), int((~truth).sum())
    if yes == 0 or no == 0:
        return None
    ranks = stats.rankdata(values)
    return float((ranks[truth].sum() - yes * (yes + 1) / 2) / (yes * no))


def brier_score(probability: npt.ArrayLike, is_true: npt.ArrayLike) -> float:
    """Mean squared difference of probability and truth (Brier, Mon Weather Rev 1950); 0 is perfect."""
    return float(np.mean((np.asarray(probability) - np.asarray(is_true, dtype=float)) ** 2))


@dataclass(frozen=True)
class ReliabilityBin:
    """Lesions of like probability: how many, their mean probability, and the share of true ones."""

    count: int
    probability: float
    true_share: float


def reliability(
    probability: npt.ArrayLike, is_true: npt.ArrayLike, bins: int = 5
) -> tuple[ReliabilityBin, ...]:
    """Bins of equally many lesions by rising probability, the points of a reliability plot."""
    values, truth = np.asarray(probability, dtype=np.float64), np.asarray(is_true, dtype=bool)
    order = np.argsort(values, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return tuple(
        ReliabilityBin(len(part), float(values[part].mean()), float(truth[part].mean())) for part in parts
    )


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Mean distance of probability and share over the bins, weighted by their lesions."""
    total = sum(each.count for each in bins)
    return sum(each.count * abs(each.probability - each.true_share) for each in bins) / total
