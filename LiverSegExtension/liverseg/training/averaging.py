"""The mean of two networks that lie on one way: one run, and one that began with its weights.

Halfway back from a fine-tuning a network keeps what it knew and has most of what it learned (Wortsman et al.,
Robust fine-tuning of zero-shot models, CVPR 2022). Networks that were trained apart have no such mean.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from liverseg.errors import InputRefused, UsageError
from liverseg.training.beginning import Beginning, read_run
from liverseg.training.checkpoints import LAST
from liverseg.training.kept_settings import SETTINGS, began_with, read_settings
from liverseg.training.persons import person_of
from liverseg.writers.atomic import make_folder, written_whole


def average_runs(first: Path, second: Path, out: Path, share: float = 0.5) -> Path:
    """Write a run folder whose network is the mean of two; returns it.

    Args:
        first: a run.
        second: one that began with the first (``begin_from``).
        out: folder to write: what ``export_bundle`` needs of a run.
        share: how much of the mean is the second one's, 0..1.

    Raises:
        UsageError: the share is none, the networks differ, the first learned from a person whom the second
            held out, or ``out`` is a run already.
        InputRefused: a folder holds no run with a checkpoint, or a damaged one.
    """
    if not 0 <= share <= 1:
        raise UsageError(f"the share of the second run is {share:g}; it may be 0 to 1")
    if (out / SETTINGS).exists():
        raise UsageError(f"{out} holds a run; give a new folder")
    one, other = read_run(first), read_run(second)
    _check(one, other, first, second)
    weights = {
        name: (value if not value.is_floating_point() else (1 - share) * one.weights[name] + share * value)
        for name, value in other.weights.items()
        if name in one.weights
    }
    settings = read_settings(second / SETTINGS)
    held = {person_of(case) for case in settings["held_out"]}
    if held & {person_of(case) for case in one.learned_from}:
        raise UsageError(f"{first} has learned from persons whom {second} held out; average runs of one fold")
    before = began_with(settings)
    settings["began_with"] = {
        "learned_from": sorted({*before["learned_from"], *one.learned_from}),
        "steps": before["steps"],
    }
    settings["averaged"] = {"share": share}
    make_folder(out)
    with written_whole(out / LAST) as temporary:
        named = {f"network.{name}": value for name, value in weights.items()}
        torch.save({"state_dict": named, "global_step": other.steps - before["steps"]}, temporary)
    with written_whole(out / SETTINGS) as temporary:
        temporary.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return out


def _check(one: Beginning, other: Beginning, first: Path, second: Path) -> None:
    shared = set(one.weights) & set(other.weights)
    if not shared:
        raise InputRefused(f"{first} and {second} share no weights; average a run and one that began with it")
    if one.classes != other.classes or any(one.weights[n].shape != other.weights[n].shape for n in shared):
        raise UsageError(
            f"{first} and {second} are different networks; average a run and one that began with it"
        )
