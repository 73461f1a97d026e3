"""Train one network on a cache made by scripts/prepare_data, or go on from its last checkpoint."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch

from liverseg.training.cache import load_cache
from liverseg.training.loop import Plan, train
from liverseg.training.persons import folds, person_of
from liverseg.training.tasks import TASKS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=sorted(TASKS))
    parser.add_argument("--cache", type=Path, required=True, help="folder of cached cases for this network")
    parser.add_argument("--run", type=Path, required=True, help="folder for checkpoints and the log")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--exclude", nargs="*", default=[], help="cases whose persons are left out")
    parser.add_argument("--fold", type=int, help="hold out this fold (0, 1, ...)")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    cache = load_cache(arguments.cache)
    left_out = {person_of(case) for case in arguments.exclude}
    if arguments.fold is not None:
        held = folds(sorted(cache), arguments.folds, seed=0)[arguments.fold]
        left_out |= {person_of(case) for case in held}
    kept = {case: arrays for case, arrays in cache.items() if person_of(case) not in left_out}
    logging.info("%d cases of %d, %d persons left out", len(kept), len(cache), len(left_out))
    train(
        arguments.task,
        kept,
        Plan(steps=arguments.steps, seed=arguments.seed),
        arguments.run,
        arguments.device,
    )


if __name__ == "__main__":
    main()
