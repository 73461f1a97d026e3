"""Pseudo-labels in rounds by one command: label, learn, judge, until unseen persons gain nothing more.

scripts/pseudo_label_rounds.py --model BUNDLE --data DATA --cache CACHE/stage2 --splits splits.json --part 0 \
  --judge CASE ... --rounds 3 --out OUT [trainer.minutes=30 ...]

Each round the last student labels the scans of DATA/ct_unlabelled (scripts/make_pseudo_labels.py), and a new
stage 2 learns from CACHE and these labels. OUT/roundN/model is its bundle, OUT/rounds.json says which is
kept. The same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import make_pseudo_labels
import predict_cases
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from liverseg.bundle import find_bundle
from liverseg.errors import LiverSegError, UsageError
from liverseg.evaluation.evaluate import evaluate_folders
from liverseg.evaluation.summary import summarize
from liverseg.evaluation.tables import write_scores
from liverseg.training.config import RunConfig
from liverseg.training.export import export_bundle
from liverseg.training.joining import join_bundles
from liverseg.training.rounds import Steps, kept_model, refuse_teacher_of_held_out, run_rounds
from liverseg.training.run import train

CONFIGS = Path(__file__).resolve().parent / "configs"
# The last file of a round's labels: where it is, all scans were looked at.
_LABELED = "labeled"


def label(teacher: Path, folder: Path, arguments: argparse.Namespace) -> int:
    """Label all scans; returns how many could be."""
    if not (folder / _LABELED).exists():
        words = ["--model", teacher, "--data", arguments.data, "--out", folder]
        words += ["--split", arguments.splits, "--held", arguments.part, "--variants", arguments.variants]
        words += ["--device", arguments.device]
        make_pseudo_labels.run(make_pseudo_labels.read_arguments([str(word) for word in words]))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _LABELED).touch()
    return len(list((folder / "scans").glob("*/case.json")))


def learn(number: int, teacher: Path, labels: Path, folder: Path, arguments: argparse.Namespace) -> Path:
    """Train a student and write its bundle, with the other networks of its teacher."""
    run, model = folder / "run", folder / "model"
    if (model / "card.json").exists():
        return model
    settings = [
        "experiment=stage2",
        f"data.cache={arguments.cache}",
        f"data.splits={arguments.splits}",
        f"data.part={arguments.part}",
        f"data.further=[{labels / 'scans'}]",
        f"run={run}",
        *arguments.settings,
    ]
    ConfigStore.instance().store(name="run_config", node=RunConfig)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = OmegaConf.to_object(compose("train", settings))
    assert isinstance(config, RunConfig)
    train(config)
    bundle = find_bundle(str(teacher))
    rules = bundle.card.get("postprocessing")
    export_bundle(
        folder / "student",
        f"round{number}",
        {"stage2": run},
        {key: bundle.card[key] for key in ("license", "sources") if key in bundle.card}
        | ({"postprocessing": rules} if rules else {}),
    )
    others = {stage: teacher for stage in bundle.networks if stage != "stage2"}
    join_bundles(model, f"round{number}", {**others, "stage2": folder / "student"})
    return model


def judge(model: Path, folder: Path, arguments: argparse.Namespace) -> float:
    """The mean lesion Dice over the unseen persons, end to end; the scores go into the folder."""
    words = ["--data", arguments.data, "--model", model, "--out", folder / "predicted"]
    words += ["--device", arguments.device, "--cases", *arguments.judge]
    code = predict_cases.main([str(word) for word in words])
    if code:
        raise UsageError(f"round{folder.name[5:]}: its model could not be judged; see the line above")
    cases = list(evaluate_folders(folder / "predicted", arguments.data / "ct", arguments.judge))
    summary = summarize(cases)
    (folder / "scores").mkdir(parents=True, exist_ok=True)
    write_scores(folder / "scores", cases, summary)
    score = summary["lesions"].get("person_mean_dice")
    if score is None:
        raise UsageError("--judge: none of these cases has a lesion; name cases that have some")
    return float(score)


def rounds(arguments: argparse.Namespace) -> None:
    """All that was asked for."""
    bundle = find_bundle(arguments.model)
    held = make_pseudo_labels.held_out_persons(arguments.judge, arguments.splits, arguments.part)
    refuse_teacher_of_held_out(bundle, held)
    steps = Steps(
        lambda teacher, folder: label(teacher, folder, arguments),
        lambda number, teacher, labels, folder: learn(number, teacher, labels, folder, arguments),
        (lambda model, folder: judge(model, folder, arguments)) if arguments.judge else None,
    )
    done = run_rounds(bundle.folder, steps, arguments.rounds, arguments.out)
    for one in done:
        score = "" if one.score is None else f", lesion Dice of unseen persons {one.score:.3f}"
        last = f": {one.why_last}" if one.why_last else ""
        print(f"round {one.number}: {one.scans} scans labeled{score}{last}")
    print(f"kept: {kept_model(done)}")


def main(words: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="name or folder of the first teacher")
    parser.add_argument("--data", type=Path, required=True, help="with ct_unlabelled/, and ct/ to judge by")
    parser.add_argument("--cache", type=Path, required=True, help="stage 2's cache of the labeled scans")
    parser.add_argument("--splits", type=Path, required=True, help="file of scripts/split_data.py")
    parser.add_argument("--part", default="0", help="the part of it that nobody learns from")
    parser.add_argument("--judge", nargs="+", default=[], metavar="CASE", help="cases of that part")
    parser.add_argument("--rounds", type=int, default=3, help="at most")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--variants", type=int, choices=(1, 2, 3), default=3, help="readings of a scan")
    parser.add_argument("--device", default="auto", choices=("auto", "cuda", "mps", "cpu"))
    parser.add_argument("settings", nargs="*", help="of scripts/train.py, such as trainer.minutes=30")
    arguments = parser.parse_intermixed_args(words)
    # Settings right behind --judge are taken for its cases.
    arguments.settings += [word for word in arguments.judge if "=" in word]
    arguments.judge = [word for word in arguments.judge if "=" not in word]
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        rounds(arguments)
    except (LiverSegError, HydraException, OmegaConfBaseException) as error:
        print(f"pseudo_label_rounds: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
