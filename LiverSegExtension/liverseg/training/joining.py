"""Bundles whose networks were trained apart, joined to one: a whole-scan model and a local one, say."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from liverseg.bundle import Bundle, file_sha256, read_bundle
from liverseg.errors import InputRefused
from liverseg.training.export import unseen_cases
from liverseg.writers.atomic import make_folder, written_whole

# What a card says of all of its networks.
_SHARED = ("license", "sources", "limits")
# What it says of how lesions are read out of stage 2's scores.
_OF_STAGE2 = ("postprocessing", "postprocessing_tuned_on", "confidence")


def join_bundles(folder: Path, name: str, parts: Mapping[str, Path]) -> None:
    """Write a bundle that takes each stage's network from a bundle of its own.

    The settings of post-processing come with stage 2; license, sources and limits are those of all of them;
    unseen are the persons whom no network saw.

    Args:
        folder: of the new bundle.
        name: the model's name.
        parts: the bundle's folder for each stage.

    Raises:
        ModelError: a folder holds no bundle.
        InputRefused: a bundle has no network for the stage, its weights are not those of its card, or the
            folder is one of the parts.
        UsageError: a file cannot be written.
    """
    bundles = {stage: read_bundle(part) for stage, part in parts.items()}
    if any(folder.resolve() == part.resolve() for part in parts.values()):
        raise InputRefused(f"{folder} is one of the bundles to join; give another folder to write to")
    card: dict[str, Any] = {"format": 1, "name": name}
    for key in _SHARED:
        told = _told(key, bundles.values())
        if told:
            card[key] = told
    if "stage2" in bundles:
        own = bundles["stage2"].card
        card.update({key: own[key] for key in _OF_STAGE2 if key in own})
    entries = {stage: _entry(stage, bundle) for stage, bundle in bundles.items()}
    make_folder(folder)
    for stage, bundle in bundles.items():
        with written_whole(folder / f"{stage}.safetensors") as temporary:
            shutil.copyfile(bundle.folder / bundle.networks[stage].file, temporary)
        entries[stage] = {**entries[stage], "file": f"{stage}.safetensors", "from": bundle.name}
    card |= {"networks": entries, "held_out": unseen_cases(list(entries.values()))}
    with written_whole(folder / "card.json") as temporary:
        temporary.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def _entry(stage: str, bundle: Bundle) -> dict[str, Any]:
    """What a bundle's card says of a stage, with the cases that it names for all of its networks."""
    if stage not in bundle.networks:
        raise InputRefused(f"{bundle.folder} has no network for {stage}; give another bundle")
    known = bundle.networks[stage]
    path = bundle.folder / known.file
    if not path.is_file() or file_sha256(path) != known.sha256:
        raise InputRefused(f"{path} is not the file that its card names; copy the bundle again")
    entry = dict(bundle.card["networks"][stage])
    entry.setdefault("held_out", bundle.card.get("held_out", []))
    return entry


def _told(key: str, bundles: Any) -> Any:
    """An entry of several cards: lists one after the other, texts side by side, each once."""
    values = [bundle.card[key] for bundle in bundles if bundle.card.get(key)]
    if not values:
        return None
    if all(isinstance(value, list) for value in values):
        items = [item for value in values for item in value]
        return [item for n, item in enumerate(items) if item not in items[:n]]
    return " ".join(dict.fromkeys(str(value) for value in values))
