"""Dice of the aorta that stage 1 finds, on persons whose aorta somebody drew and whom the model never saw.

scripts/evaluate_aorta.py --data DATA --models FOLD0 FOLD1 FOLD2 --out scores.json

Every scan with an ``anatomy`` map whose arteries reach through it is scored by the model that held its person
out. Of the drawn arteries the largest piece without its branches counts, on the scan's own grid.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from liverseg import stages
from liverseg.bundle import Bundle, find_bundle, networks_kept
from liverseg.errors import InputRefused, UsageError
from liverseg.evaluation.case_script import run_script
from liverseg.evaluation.overlap import dice
from liverseg.geometry import CanonicalOrder
from liverseg.training.cache import drawn_aorta
from liverseg.training.datasets import list_scans
from liverseg.training.datasets.scan import LabeledScan
from liverseg.training.persons import person_of
from liverseg.writers.atomic import make_folder, written_whole

log = logging.getLogger("evaluate_aorta")


def model_for(case: str, models: Sequence[Bundle]) -> Bundle | None:
    """The first model that held the case's person out."""
    for bundle in models:
        if person_of(case) in {person_of(name) for name in bundle.card.get("held_out", [])}:
            return bundle
    return None


def score(scan: LabeledScan, bundle: Bundle) -> float | None:
    """Dice of the aorta of one scan; None where nobody drew it through."""
    ct = scan.reader.ct(scan)
    order = CanonicalOrder.of(ct.geometry)
    grid = order.geometry(ct.geometry)
    hu = np.ascontiguousarray(order.apply(ct.array)).astype(np.float32)
    truth = drawn_aorta(scan, hu.shape, grid)
    if truth is None:
        return None
    rough, _ = stages.find_liver(hu, grid.spacing_kji, bundle, "cpu")
    if rough is None or rough.aorta is None:
        return 0.0
    return dice(truth, rough.aorta)


def evaluate(arguments: argparse.Namespace) -> None:
    """Score and write.

    Raises:
        UsageError: a model has no stage 1 that knows the aorta, or the scores cannot be written.
        InputRefused: nobody whom a model held out has a drawn aorta.
    """
    models = [find_bundle(name) for name in arguments.models]
    for bundle in models:
        if "stage1" not in bundle.networks or "aorta" not in bundle.networks["stage1"].classes:
            raise UsageError(f"{bundle.name} has no stage 1 that knows the aorta; name models that do")
    make_folder(arguments.out.parent)
    scores: dict[str, float] = {}
    with networks_kept():
        for scan in list_scans("project-3mm", arguments.data, []):
            model = model_for(scan.case, models)
            found = None if model is None else score(scan, model)
            if found is not None:
                scores[scan.case] = round(found, 4)
                log.info("%s: %.4f", scan.case, found)
    if not scores:
        raise InputRefused(f"{arguments.data} has no drawn aorta of a person whom one of the models held out")
    summary = {
        "scans": len(scores),
        "mean_dice": round(float(np.mean(list(scores.values()))), 4),
        "dice": scores,
    }
    with written_whole(arguments.out) as temporary:
        temporary.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(f"mean {summary['mean_dice']} over {len(scores)} scans")


def main(words: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with ct/ and anatomy/")
    parser.add_argument("--models", nargs="+", required=True, help="name or folder of each fold's bundle")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write")
    return run_script(parser, evaluate, "evaluate_aorta", words)


if __name__ == "__main__":
    sys.exit(main())
