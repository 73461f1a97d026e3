"""Calibrate the confidence of found lesions on persons that training left out.

Reads the ``lesions.csv`` of ``liverseg evaluate`` (``--tables``, one a validation fold): its rows of kind
``claim``, with the lesion scores that ``scripts/predict_cases.py`` keeps; a claim that touches a true lesion
is true. Persons are told by the cases' names, or by a column ``person``. The mean score as it is ("raw"), a
logistic and a rising curve of it, and a logistic model of mean, peak and volume are compared on persons that
each was not fitted to; the lowest Brier score wins. Writes ``confidence.json`` (the block ``confidence`` for
the model's card, with all figures; ``--card`` puts it there, and so does ``scripts/export_bundle.py
--confidence``) and, with matplotlib, ``reliability.png``.
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
from liverseg.writers.atomic import written_whole

SCORES = ("confidence_mean", "confidence_max", "volume_ml")
COLUMNS = ("case", "kind", "id", "matched", *SCORES)
RAW = "mean score"
# How each is fitted; all are cross-validated alike.
WAYS: dict[str, Any] = {
    "logistic of the mean score": calibration.fit_platt,
    "rising curve of the mean score": calibration.fit_rising,
    "logistic of mean, peak and volume": calibration.fit,
}
COLORS = ("#cc3311", "#0077bb", "#009988", "#999999")
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
        UsageError: a table is missing, is none, lacks a column, or has a cell that is no number; a lesion
            comes twice.
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
                    truth.append(TRUTH[(row["matched"] or "").strip().lower()])
                    persons.append(row.get("person") or person_of(row["case"]))
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
        except (UnicodeDecodeError, csv.Error) as error:
            raise UsageError(f"{path} is no CSV table in UTF-8 ({error}); save it as one") from error
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


def figures(probability: np.ndarray, found: FoundLesions, bins: int) -> dict[str, Any]:
    """How well probabilities tell true lesions, and how true they are."""
    curve = calibration.reliability(probability, found.is_true, bins)
    return {
        "auc": _rounded(calibration.auc(probability, found.is_true)),
        "brier": _rounded(calibration.brier_score(probability, found.is_true)),
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


def calibrated(found: FoundLesions, bins: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The card's block, and the probability of each lesion by every way, raw or cross-validated by person.

    The lowest Brier score counts: a calibration that does not lower it on unseen persons is none. One whose
    confidence falls as a score rises is not chosen: it says by which rules few claims were let through.
    """
    rows, truth, persons = found.features, found.is_true, found.persons
    ways = {RAW: rows[:, 0]}
    ways |= {name: calibration.cross_validated(rows, truth, persons, fit) for name, fit in WAYS.items()}
    judged = {name: figures(values, found, bins) for name, values in ways.items()}
    fitted = {name: fit(rows, truth) for name, fit in WAYS.items()}
    rising = [name for name in judged if name == RAW or _rises(fitted[name])]
    chosen = min(rising, key=lambda name: judged[name]["brier"])
    block = calibration.card_block(None if chosen == RAW else fitted[chosen])
    block["fitted_on"] = {
        "persons": len(set(persons)),
        "true_lesions": int(truth.sum()),
        "false_lesions": int((~truth).sum()),
    }
    block["cross_validation_by_person"] = {"chosen": chosen, **judged}
    return block, ways


def _rises(fitted: object) -> bool:
    """Whether no weight of a score (mean, peak) is below 0; curves rise by themselves."""
    return all(weight >= 0 for weight in getattr(fitted, "weights", ())[:2])


def table(block: dict[str, Any]) -> str:
    """The figures of every way, one a line."""
    judged = block["cross_validation_by_person"]
    lines = ["| confidence | AUC | Brier | calibration error |", "|---|---|---|---|"]
    for name in (RAW, *WAYS):
        row = judged[name]
        marked = f"**{name}**" if name == judged["chosen"] else name
        auc = "-" if row["auc"] is None else f"{row['auc']:.3f}"
        lines.append(f"| {marked} | {auc} | {row['brier']:.4f} | {row['expected_calibration_error']:.3f} |")
    return "\n".join(lines)


def write_into_card(block: dict[str, Any], path: Path) -> None:
    """Put the block into a model's card.

    Raises:
        UsageError: there is no such card.
    """
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(card, dict) or "networks" not in card:
            raise ValueError("no networks in it")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no model's card: {error}") from error
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps({**card, "confidence": block}, indent=2) + "\n", encoding="utf-8")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def plot(found: FoundLesions, ways: dict[str, np.ndarray], bins: int, path: Path) -> None:
    """Share of true lesions over their probability by every way, and how many lesions lie where."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (top, below) = pyplot.subplots(
        2, 1, figsize=(5.5, 6.5), height_ratios=(4, 1), sharex=True, layout="constrained"
    )
    top.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="perfect")
    for (name, values), color in zip(ways.items(), COLORS, strict=True):
        curve = calibration.reliability(values, found.is_true, bins)
        area = calibration.auc(values, found.is_true)
        label = f"{name}, AUC {area:.2f}" if area is not None else name
        top.plot(
            [b.probability for b in curve], [b.true_share for b in curve], "o-", color=color, label=label
        )
        below.hist(values, bins=np.linspace(0, 1, 21), histtype="step", color=color)
    top.set(ylabel="share of true lesions", xlim=(0, 1), ylim=(0, 1))
    top.legend(loc="lower right", frameon=False, fontsize="small")
    below.set(xlabel="confidence", ylabel="lesions")
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, nargs="+", required=True, help="CSV tables of found lesions")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--card", type=Path, help="also put the block into this model's card.json")
    parser.add_argument("--bins", type=int, default=5, help="points of the reliability curve")
    parsed = parser.parse_args(arguments)
    try:
        if parsed.bins < 1:
            raise UsageError(f"--bins {parsed.bins}: a curve has at least one point; give 1 or more")
        found = read_tables(parsed.tables)
        block, ways = calibrated(found, parsed.bins)
        parsed.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(block, indent=2)
        (parsed.out / "confidence.json").write_text(text + "\n", encoding="utf-8")
        print(table(block))
        if parsed.card:
            write_into_card(block, parsed.card)
        try:
            plot(found, ways, parsed.bins, parsed.out / "reliability.png")
        except ImportError:
            print("no reliability.png: matplotlib is not installed (pip install 'liverseg[train]')")
    except LiverSegError as error:
        parser.exit(error.exit_code, f"calibrate_confidence: {error}\n")
    except OSError as error:
        parser.exit(2, f"calibrate_confidence: cannot write to {parsed.out}: {error.strerror}\n")


if __name__ == "__main__":
    main()
