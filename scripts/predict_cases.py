"""Predict labeled cases end to end, for ``liverseg evaluate``.

scripts/predict_cases.py --data DATA --model BUNDLE --cases lits_000 ircad_17 --out PRED
liverseg evaluate --pred PRED --truth DATA/ct --cases lits_000 ircad_17 -o SCORES --plots
scripts/predict_cases.py ... --score-maps MAPS; scripts/tune_postprocessing.py --scores MAPS ...

A case is a folder DATA/ct/<case>: a whole scan, or a pair of a 3 mm scan and the region of its liver
(liverseg/evaluation/end_to_end.py). Cases of persons that the model was trained on, by its card, are refused.
A case that is there already is kept; one that other weights, quality or liver gave is refused.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from liverseg.bundle import find_bundle
from liverseg.device import choose_device
from liverseg.errors import UsageError
from liverseg.evaluation.case_files import read_case
from liverseg.evaluation.case_script import case_parser, run_script
from liverseg.evaluation.end_to_end import Predicted, case_folders, predict_case, write_predicted
from liverseg.pipeline import SegmentOptions
from liverseg.training.score_maps import ScoreMap, save_score_map
from liverseg.writers.atomic import make_folder, written_whole

log = logging.getLogger("predict_cases")

PREDICTION = "prediction.json"


def predict(arguments: argparse.Namespace) -> None:
    """Predict case after case; one that is there already is kept unless ``--overwrite`` is given.

    Raises:
        UsageError: one that is there was predicted in another way.
    """
    bundle = find_bundle(arguments.model)
    cases = list(dict.fromkeys(arguments.cases))
    folders = case_folders(arguments.data, cases, bundle, arguments.seen_too)
    options = SegmentOptions(
        choose_device(arguments.device), arguments.quality, arguments.model, force=arguments.force
    )
    way = {
        "weights_sha256": bundle.sha256,
        "true_liver": arguments.true_liver,
        "quality": arguments.quality,
    }
    there = [] if arguments.overwrite else kept_cases(folders, arguments.out, way)
    for folder in folders:
        out = arguments.out / folder.name
        if folder.name in there and has_score_map(folder.name, arguments.score_maps):
            log.info("%s is there already", folder.name)
            continue
        # The last file of a case: where it is, the case is whole.
        done = out / PREDICTION
        began = time.monotonic()
        predicted = predict_case(folder, options, arguments.true_liver)
        done.unlink(missing_ok=True)
        write_predicted(predicted, out)
        if arguments.score_maps is not None:
            keep_scores(predicted, folder, arguments.score_maps)
        facts = {
            "case": folder.name,
            "model": bundle.name,
            **way,
            "seen_too": arguments.seen_too,
            "seconds": round(time.monotonic() - began, 1),
        }
        with written_whole(done) as temporary:
            temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        case = predicted.case
        log.info(
            "%s: %.0f ml, %d lesions, %.0f s",
            folder.name,
            case.liver.volume_ml,
            len(case.lesions),
            facts["seconds"],
        )


def kept_cases(folders: Sequence[Path], out: Path, way: Mapping[str, object]) -> list[str]:
    """The names of the cases that are predicted already.

    Args:
        folders: of the labeled cases.
        way: the facts of ``prediction.json`` that all predictions of a folder must share.

    Raises:
        UsageError: a case was predicted in another way, or does not say how.
    """
    kept = [folder.name for folder in folders if (out / folder.name / PREDICTION).exists()]
    for name in kept:
        facts = known_facts(out / name / PREDICTION)
        other = [fact for fact, value in way.items() if facts.get(fact) != value]
        if other:
            raise UsageError(
                f"{out / name} was predicted in another way ({', '.join(other)} in its {PREDICTION}); "
                "choose another folder for --out, or --overwrite"
            )
    return kept


def known_facts(path: Path) -> dict[str, Any]:
    """What a ``prediction.json`` says; nothing where it cannot be read."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def has_score_map(case: str, folder: Path | None) -> bool:
    """Whether a case's score map is there, or none is asked for."""
    return folder is None or (folder / f"{case}.npz").exists()


def keep_scores(predicted: Predicted, truth: Path, folder: Path) -> None:
    """Write a case's lesion scores beside its true lesions, for ``scripts/tune_postprocessing.py``.

    Raises:
        UsageError: they cannot be written.
    """
    ct = predicted.case.ct
    scores = ScoreMap(
        case=truth.name,
        score=predicted.score,
        liver=predicted.case.masks.liver,
        truth=read_case(truth, ct.geometry).lesions > 0,
        hu=ct.array,
        spacing_mm=ct.geometry.spacing_kji,
    )
    make_folder(folder)
    save_score_map(scores, folder)


def main(words: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = case_parser(__doc__, "folder for one folder a case")
    parser.add_argument("--quality", default="full", choices=("fast", "full"))
    parser.add_argument("--true-liver", action="store_true", help="the labeled liver in place of stage 1's")
    parser.add_argument("--force", action="store_true", help="go on where the values are no plausible HU")
    parser.add_argument("--overwrite", action="store_true", help="predict anew what is there")
    parser.add_argument("--score-maps", type=Path, help="folder for scores that post-processing is tuned on")
    return run_script(parser, predict, "predict_cases", words)


if __name__ == "__main__":
    sys.exit(main())
