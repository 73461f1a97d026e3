"""From a checkpoint to a bundle that the engine runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from liverseg.bundle import save_network
from liverseg.networks import build_network
from liverseg.training.cache import COUINAUD_SPACING, STAGE1_SPACING, STAGE2_SPACING, WINDOW
from liverseg.training.tasks import TASKS, CouinaudTask, LesionTask, LiverTask

_FACTS: dict[str, dict[str, Any]] = {
    "stage1": {
        "spacing_mm": STAGE1_SPACING,
        "patch": LiverTask.patch,
        "window_hu": WINDOW,
        "classes": ["background", "liver"],
    },
    "stage2": {
        "spacing_mm": STAGE2_SPACING,
        "patch": LesionTask.patch,
        "window_hu": WINDOW,
        "classes": ["background", "liver", "lesion"],
    },
    "couinaud": {
        "spacing_mm": COUINAUD_SPACING,
        "patch": (CouinaudTask.largest_side,) * 3,
        "window_hu": None,
        "classes": ["I", "II", "III", "IV", "V", "VI", "VII", "VIII"],
    },
}


def averaged_network(task_name: str, run: Path) -> tuple[torch.nn.Module, int]:
    """The averaged network of a run's last checkpoint, and its step.

    Raises:
        FileNotFoundError: the run has no checkpoint.
    """
    network = build_network(TASKS[task_name][1])
    state = torch.load(run / "last.ckpt", map_location="cpu", weights_only=True)
    prefix = "module."
    weights = {k.removeprefix(prefix): v for k, v in state["average"].items() if k.startswith(prefix)}
    network.load_state_dict(weights)
    return network, int(state["step"])


def export_bundle(folder: Path, name: str, runs: dict[str, Path], facts: dict[str, Any]) -> None:
    """Write weights and card of the given runs into ``folder``; other networks of its card are kept.

    Args:
        folder: the bundle's folder.
        name: the model's name.
        runs: run folder for each stage to write.
        facts: what else the card says (sources, license, results); merged over what it said.
    """
    path = folder / "card.json"
    card = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    card.update({"format": 1, "name": name, **facts})
    networks = card.setdefault("networks", {})
    for stage, run in runs.items():
        network, step = averaged_network(stage, run)
        file = f"{stage}.safetensors"
        sha256 = save_network(network, folder / file)
        networks[stage] = {
            "network": TASKS[stage][1],
            **_FACTS[stage],
            "file": file,
            "sha256": sha256,
            "parameters": sum(p.numel() for p in network.parameters()),
            "training_steps": step,
        }
    path.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
