"""Predict labeled cases end to end, for ``liverseg evaluate``.

scripts/predict_cases.py --data DATA --model BUNDLE --cases lits_000 ircad_17 --out PRED
liverseg evaluate --pred PRED --truth DATA/ct --cases lits_000 ircad_17 -o SCORES --plots

A case is a folder DATA/ct/<case>: a whole scan, or a pair of a 3 mm scan and the region of its liver
(liverseg/evaluation/end_to_end.py). Cases of persons that the model was trained on, by its card, are refused.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from liverseg.bundle import find_bundle
from liverseg.device import choose_device
from liverseg.errors import LiverSegError
from liverseg.evaluation.end_to_end import case_folders, predict_case, write_predicted
from liverseg.pipeline import SegmentOptions
from liverseg.writers.atomic import written_whole

log = logging.getLogger("predict_cases")


def predict(arguments: argparse.Namespace) -> None:
    """Predict case after case; one that is there already is kept unless ``--overwrite`` is given."""
    bundle = find_bundle(arguments.model)
    folders = case_folders(arguments.data, arguments.cases, bundle, arguments.seen_too)
    options = SegmentOptions(
        choose_device(arguments.device), arguments.quality, arguments.model, force=arguments.force
    )
    for folder in folders:
        out = arguments.out / folder.name
        # The last file of a case: where it is, the case is whole.
        done = out / "prediction.json"
        if done.exists() and not arguments.overwrite:
            log.info("%s is there already", folder.name)
            continue
        began = time.monotonic()
        predicted = predict_case(folder, options, arguments.true_liver)
        write_predicted(predicted, out)
        facts = {
            "case": folder.name,
            "model": bundle.name,
            "weights_sha256": bundle.sha256,
            "true_liver": arguments.true_liver,
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


def main(words: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with ct/<case>/")
    parser.add_argument("--model", help="name or folder of a bundle")
    parser.add_argument("--cases", nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for one folder a case")
    parser.add_argument("--device", default="auto", choices=("auto", "cuda", "mps", "cpu"))
    parser.add_argument("--quality", default="full", choices=("fast", "full"))
    parser.add_argument("--true-liver", action="store_true", help="the labeled liver in place of stage 1's")
    parser.add_argument("--seen-too", action="store_true", help="also persons of the training: a mere trial")
    parser.add_argument("--force", action="store_true", help="go on where the values are no plausible HU")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--overwrite", action="store_true", help="predict anew what is there")
    arguments = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(arguments.threads)
    try:
        predict(arguments)
    except LiverSegError as error:
        print(f"predict_cases: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
