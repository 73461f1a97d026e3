"""Calibrate the confidence of found lesions on persons that training left out.

Reads the ``lesions.csv`` of ``liverseg evaluate`` (``--tables``, one a validation fold): its rows of kind
``claim``, with the lesion scores that ``scripts/predict_cases.py`` keeps; a claim that touches a true lesion
is true. Persons are told by the cases' names, or by a column ``person``. Writes ``confidence.json`` (the
block ``confidence`` for the model's card, with the figures of a cross-validation by person) and, with
matplotlib, ``reliability.png``.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from liverseg import calibration
from liverseg.errors import LiverSegError, UsageError
from liverseg.training.persons import person_of

SCORES = ("confidence_mean", "confidence_max", "volume_ml")
COLUMNS = ("case", "kind", "id", "matched", *SCORES)
TRUTH = {"1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True, eq=False)
class FoundLesions:
    """Features (n, 3) by ``calibration.FEATURES``, truth (n,) and the person of each lesion."""

    features: np.ndarray
    is_true: np.ndarray
    persons: tuple[str, ...]


def read_tables(paths: Sequence[Path]) -> FoundLesions:
    """All lesions of the tables.

    Raises:
        UsageError: a table is missing, lacks a column, or has a cell that is no number; a lesion comes twice.
    """
    rows: list[tuple[float, float, float]] = []
    truth, persons = [], []
    seen: set[tuple[str, str]] = set()
    for path in paths:
        try:
            with path.open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file)
                missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
                if missing:
                    raise UsageError(f"{path} has no column {missing[0]!r}; it needs {', '.join(COLUMNS)}")
                for line, row in enumerate(reader, start=2):
                    if row["kind"] != "claim":
                        continue
                    key = (row["case"], row["id"])
                    if key in seen:
                        raise UsageError(f"{path} line {line}: lesion {key[1]} of {key[0]} was there before")
                    seen.add(key)
                    rows.append(_features(row, path, line))
                    truth.append(TRUTH[row["matched"].strip().lower()])
                    persons.append(row.get("person") or person_of(row["case"]))
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
        except KeyError as error:
            raise UsageError(f"{path} line {line}: matched is {error}, not true or false") from error
    return FoundLesions(np.array(rows).reshape(-1, 3), np.array(truth, dtype=bool), tuple(persons))


def _features(row: dict[str, str], path: Path, line: int) -> tuple[float, float, float]:
    try:
        mean, peak, volume = (float(row[name]) for name in SCORES)
        if not (0 <= mean <= 1 and 0 <= peak <= 1 and 0 < volume < math.inf):
            raise ValueError("out of range")
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{path} line {line}: scores must be 0 to 1 and the volume above 0 ({error})"
        ) from error
    return mean, peak, math.log(max(volume, calibration.SMALLEST_ML))


def calibrated(found: FoundLesions, bins: int) -> tuple[dict[str, Any], np.ndarray]:
    """The card's block, and the cross-validated probability of each lesion."""
    block = calibration.card_block(calibration.fit(found.features, found.is_true))
    unseen = calibration.cross_validated(found.features, found.is_true, found.persons)
    curve = calibration.reliability(unseen, found.is_true, bins)
    raw = found.features[:, 0]
    block["fitted_on"] = {
        "persons": len(set(found.persons)),
        "true_lesions": int(found.is_true.sum()),
        "false_lesions": int((~found.is_true).sum()),
    }
    block["cross_validation_by_person"] = {
        "auc": _rounded(calibration.auc(unseen, found.is_true)),
        "auc_raw": _rounded(calibration.auc(raw, found.is_true)),
        "brier": _rounded(calibration.brier_score(unseen, found.is_true)),
        "brier_raw": _rounded(calibration.brier_score(raw, found.is_true)),
        "expected_calibration_error": _rounded(calibration.expected_calibration_error(curve)),
        "reliability": [
            {
                "count": each.count,
                "probability": _rounded(each.probability),
                "true_share": _rounded(each.true_share),
            }
            for each in curve
        ],
    }
    return block, unseen


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def plot(found: FoundLesions, unseen: np.ndarray, bins: int, path: Path) -> None:
    """Share of true lesions over their probability, raw and calibrated, and how many lesions lie where."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (top, below) = pyplot.subplots(
        2, 1, figsize=(5.5, 6.5), height_ratios=(4, 1), sharex=True, layout="constrained"
    )
    top.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="perfect")
    for values, name, color in (
        (found.features[:, 0], "mean score (raw)", "#cc3311"),
        (unseen, "calibrated, unseen persons", "#0077bb"),
    ):
        curve = calibration.reliability(values, found.is_true, bins)
        area = calibration.auc(values, found.is_true)
        label = f"{name}, AUC {area:.2f}" if area is not None else name
        top.plot(
            [b.probability for b in curve], [b.true_share for b in curve], "o-", color=color, label=label
        )
        below.hist(values, bins=np.linspace(0, 1, 21), histtype="step", color=color)
    top.set(ylabel="share of true lesions", xlim=(0, 1), ylim=(0, 1))
    top.legend(loc="upper left", frameon=False)
    below.set(xlabel="confidence", ylabel="lesions")
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, nargs="+", required=True, help="CSV tables of found lesions")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--bins", type=int, default=5, help="points of the reliability curve")
    parsed = parser.parse_args(arguments)
    try:
        found = read_tables(parsed.tables)
        block, unseen = calibrated(found, parsed.bins)
        parsed.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(block, indent=2)
        (parsed.out / "confidence.json").write_text(text + "\n", encoding="utf-8")
        print(text)
        try:
            plot(found, unseen, parsed.bins, parsed.out / "reliability.png")
        except ImportError:
            print("no reliability.png: matplotlib is not installed (pip install 'liverseg[train]')")
    except LiverSegError as error:
        parser.exit(error.exit_code, f"calibrate_confidence: {error}\n")
    except OSError as error:
        parser.exit(2, f"calibrate_confidence: cannot write to {parsed.out}: {error.strerror}\n")


if __name__ == "__main__":
    main()
