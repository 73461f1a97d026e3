"""Train every road for the same minutes on the same caches, for a comparison on the same unseen people.

scripts/compare_roads.py train --cache CACHE --splits splits.json --part 0 --minutes 60 --runs RUNS
scripts/compare_roads.py settings patches_unet3d --cache CACHE ...   # what one of them is trained with

CACHE holds what scripts/prepare_data.py writes (stage1, stage2), perhaps planted (scripts/plant_lesions.py)
and two_heads (scripts/prepare_scans.py, see docs/roads.md). The roads learn on these grids and in this HU
window, as their experiment files do on their own ones. scripts/score_roads.py scores them.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger("compare_roads")

TRAIN = Path(__file__).resolve().parent / "train.py"

# Everybody is judged at the end alone, so that no unseen person chooses a checkpoint.
_ALL = (
    "trainer.steps=1000000",
    "trainer.steps_an_epoch=500",
    "trainer.pictures=0",
    "trainer.patience=0",
    "data.validate=0",
)
_WINDOW = ("scan.window_hu=[-160,240]", "scan.voxels=[0,0,0]", "scan.size=[]")
_WHOLE = (*_WINDOW, "scan.region=whole", "scan.spacing_mm=[4,4,4]")
_LIVER = (*_WINDOW, "scan.region=liver", "scan.margin_mm=30", "scan.spacing_mm=[1.5,1.5,1.5]")


@dataclass(frozen=True)
class Learned:
    """One network of the comparison.

    Attributes:
        stage: what it is in a bundle.
        cache: its folder under --cache.
        experiment: its file in configs/experiment.
        settings: what differs from that file on these caches.
        further: another folder under --cache, of cases beside them.
    """

    stage: str
    cache: str
    experiment: str
    settings: tuple[str, ...] = ()
    further: str = ""


NETWORKS = {
    "stage1": Learned("stage1", "stage1", "stage1"),
    "stage2": Learned("stage2", "stage2", "stage2"),
    "stage2_planted": Learned("stage2", "stage2", "stage2", further="planted"),
    "two_level_unet_liver": Learned(
        "stage1",
        "stage1",
        "two_level_unet_liver",
        (*_WHOLE, "task.patch=[1,128,128]", "task.filters=[16,32,64,128,256]"),
    ),
    "two_level_unet": Learned("stage2", "stage2", "two_level_unet", (*_LIVER, "task.patch=[1,192,192]")),
    "slices_resnet34": Learned("stage2", "stage2", "slices_resnet34", (*_LIVER, "task.patch=[1,192,192]")),
    "patches_unet3d": Learned("stage2", "stage2", "patches_unet3d", _LIVER),
    "classic_unet3d": Learned("stage1", "stage1", "classic_unet3d", (*_WHOLE, "task.patch=[16,128,128]")),
    "global_local_vae_liver": Learned(
        "stage1", "stage1", "global_local_vae_liver", (*_WHOLE, "task.patch=[64,96,96]")
    ),
    "global_local_vae": Learned("stage2", "stage2", "global_local_vae", _LIVER),
    "two_heads": Learned("stage2", "two_heads", "two_heads", _LIVER),
}

# Stage 1 and stage 2 of each road; where a road has no network of its own for one, our default's.
ROADS = {
    "default": ("stage1", "stage2"),
    "default, planted": ("stage1", "stage2_planted"),
    "two_level_unet": ("two_level_unet_liver", "two_level_unet"),
    "two_level_unet, second alone": ("stage1", "two_level_unet"),
    "global_local_vae": ("global_local_vae_liver", "global_local_vae"),
    "global_local_vae, local alone": ("stage1", "global_local_vae"),
    "slices_resnet34": ("stage1", "slices_resnet34"),
    "patches_unet3d": ("stage1", "patches_unet3d"),
    "classic_unet3d": ("classic_unet3d", "stage2"),
    "two_heads": ("stage1", "two_heads"),
}


def settings_of(name: str, arguments: argparse.Namespace) -> list[str]:
    """The words of scripts/train.py for a network, but for those given on the command line."""
    learned = NETWORKS[name]
    return [
        f"experiment={learned.experiment}",
        f"data.cache={arguments.cache / learned.cache}",
        f"data.splits={arguments.splits}",
        f"data.part={arguments.part}",
        f"run={arguments.runs / name}",
        f"trainer.minutes={arguments.minutes:g}",
        *_ALL,
        *learned.settings,
        *([f"data.further=[{arguments.cache / learned.further}]"] if learned.further else []),
        *arguments.settings,
    ]


def trainable(cache: Path) -> list[str]:
    """The networks whose cases are there; the others are named in the log."""
    names = []
    for name, learned in NETWORKS.items():
        missing = [part for part in (learned.cache, learned.further) if not (cache / part).is_dir()]
        if missing:
            log.warning("%s is left out: there is no %s", name, cache / missing[0])
        else:
            names.append(name)
    return names


def train_all(names: Sequence[str], arguments: argparse.Namespace) -> int:
    """Train the networks, ``--at-once`` beside each other; each has its log in RUNS/NAME.log.

    Returns:
        1 when one of them failed; the others are trained all the same.
    """
    arguments.runs.mkdir(parents=True, exist_ok=True)
    waiting, failed = list(names), list[str]()
    running: dict[str, subprocess.Popen[bytes]] = {}
    while waiting or running:
        while waiting and len(running) < arguments.at_once:
            name = waiting.pop(0)
            with (arguments.runs / f"{name}.log").open("w", encoding="utf-8") as file:
                command = [sys.executable, str(TRAIN), *settings_of(name, arguments)]
                running[name] = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
            log.info("%s: begun", name)
        name = next(iter(running))
        code = running.pop(name).wait()
        log.info("%s: %s", name, "done" if code == 0 else f"failed, see {arguments.runs / name}.log")
        failed += [name] if code else []
    return 1 if failed else 0


def main(words: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("train", "settings"))
    parser.add_argument("--cache", type=Path, required=True, help="folder of the caches")
    parser.add_argument("--splits", type=Path, required=True, help="file of scripts/split_data.py")
    parser.add_argument("--part", default="0", help="the part whose persons nobody learns from")
    parser.add_argument("--minutes", type=float, default=60.0, help="of training, for each network")
    parser.add_argument("--runs", type=Path, required=True, help="folder for one run folder a network")
    parser.add_argument("--at-once", type=int, default=1, help="networks that are trained beside each other")
    parser.add_argument("--only", nargs="+", default=[], choices=sorted(NETWORKS), metavar="NETWORK")
    parser.add_argument("settings", nargs="*", help="further settings of scripts/train.py, for all of them")
    arguments = parser.parse_intermixed_args(words)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    names = arguments.only or trainable(arguments.cache)
    if arguments.what == "settings":
        for name in names:
            print(" ".join(settings_of(name, arguments)))
        return 0
    return train_all(names, arguments)


if __name__ == "__main__":
    sys.exit(main())
