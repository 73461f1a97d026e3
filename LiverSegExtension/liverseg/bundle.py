"""Model bundles: a folder with a card (JSON) and one safetensors file a network.

``Resources/Models/<name>/card.json`` describes each network: what it is built of, the spacing, the patch,
the normalization, the meaning of its classes, and the sha256 of its weights. Weights of another origin
are used by dropping such a folder beside the others, or by giving its path.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liverseg.errors import ModelError
from liverseg.lesion_rules import rules_from_card
from liverseg.resources import resources_folder

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

DEFAULT_MODEL = "liverseg-1.6"
STAGES = ("stage1", "stage2", "couinaud")
# MONAI's DynUNet lists the same layers twice in its state: by their own names and inside this chain.
_SECOND_NAMES = ("skip_layers.", "plane.skip_layers.", "trunk.skip_layers.", "plane.trunk.skip_layers.")
# The networks of a block of :func:`networks_kept`, by bundle folder and stage.
_kept: ContextVar[dict[tuple[Path, str], torch.nn.Module] | None] = ContextVar("kept_networks", default=None)


@dataclass(frozen=True)
class NetworkCard:
    """What a network expects and gives.

    Attributes:
        stage: "stage1", "stage2" or "couinaud".
        network: description for :func:`liverseg.networks.build_network`.
        spacing_mm: isotropic voxel size of its grid; nominal where ``grid`` says more.
        patch: window (z, y, x) in voxels.
        window_hu: HU range mapped to 0..1; None where no CT goes in.
        classes: name of each output class.
        file: weights, beside the card.
        sha256: of that file.
        grid: ``{"spacing_mm": [z, y, x], "voxels": [z, y, x]}`` where the grid is not isotropic, see
            :meth:`grid_spacing`; empty otherwise.
        overlap: share of a window that its neighbors cover; None for the engine's own.
        views: (spacing in mm, share of the average) of each grid that the network looks at, see
            :mod:`liverseg.views`; empty for its own grid alone.
    """

    stage: str
    network: dict[str, Any]
    spacing_mm: float
    patch: tuple[int, int, int]
    window_hu: tuple[float, float] | None
    classes: tuple[str, ...]
    file: str
    sha256: str
    grid: dict[str, Any] = field(default_factory=dict)
    overlap: float | None = None
    views: tuple[tuple[float, float], ...] = ()

    def grid_spacing(self, shape: Sequence[int], spacing: Sequence[float]) -> tuple[float, float, float]:
        """The voxel size (z, y, x) in mm that the network wants for a scan.

        Along an axis with a number of voxels the whole scan has so many; where the card's spacing is 0 the
        scan keeps its own.

        Args:
            shape: voxels of the whole scan (z, y, x).
            spacing: its voxel size in mm.
        """
        if not self.grid:
            return (self.spacing_mm,) * 3
        axes = zip(shape, spacing, self.grid["spacing_mm"], self.grid["voxels"], strict=True)
        z, y, x = (n * own / count if count else (wanted or own) for n, own, wanted, count in axes)
        return z, y, x


@dataclass(frozen=True)
class Bundle:
    """A model: its folder, its name and the cards of its networks."""

    folder: Path
    name: str
    card: dict[str, Any]
    networks: dict[str, NetworkCard]

    @property
    def sha256(self) -> dict[str, str]:
        """Hash of each network's weights."""
        return {stage: card.sha256 for stage, card in self.networks.items()}


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle's card; the weights are read and checked by :func:`load_network`.

    Raises:
        ModelError: the card is missing, is not JSON, lacks a field, or its settings cannot be used.
    """
    path = folder / "card.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        networks = {
            stage: _usable(
                NetworkCard(
                    stage=stage,
                    network=dict(entry["network"]),
                    spacing_mm=float(entry["spacing_mm"]),
                    patch=(int(entry["patch"][0]), int(entry["patch"][1]), int(entry["patch"][2])),
                    window_hu=tuple(entry["window_hu"]) if entry.get("window_hu") else None,
                    classes=tuple(entry["classes"]),
                    file=str(entry["file"]),
                    sha256=str(entry["sha256"]),
                    grid=_read_grid(entry.get("grid")),
                    overlap=None if entry.get("overlap") is None else float(entry["overlap"]),
                    views=read_views(entry),
                )
            )
            for stage, entry in card["networks"].items()
        }
        bundle = Bundle(folder, str(card["name"]), card, networks)
    except OSError as error:
        raise ModelError(f"no model card at {path}; choose a folder listed by 'liverseg models'") from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ModelError(f"the model card {path} is damaged ({error}); copy the bundle again") from error
    try:
        rules_from_card(card.get("postprocessing", {}))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    return bundle


def _usable(card: NetworkCard) -> NetworkCard:
    """The card of a network.

    Raises:
        ValueError: it has sizes that cannot be, or classes that are not those of its network.
    """
    if not (card.grid or card.spacing_mm > 0) or min(card.patch) < 1:
        raise ValueError(f"{card.stage}: spacing_mm and patch must be above 0")
    if card.window_hu is not None and not (
        len(card.window_hu) == 2 and card.window_hu[0] < card.window_hu[1]
    ):
        raise ValueError(f"{card.stage}: window_hu must be two rising numbers")
    outputs = card.network.get("out_channels", len(card.classes))
    if len(card.classes) != outputs:
        raise ValueError(f"{card.stage}: {len(card.classes)} classes for {outputs} outputs")
    if card.stage == "stage1" and not {"liver", "lesion"} & {
        name.split()[0] for name in card.classes if name
    }:
        raise ValueError(f"{card.stage}: no class is named liver or lesion")
    return card


def _read_grid(entry: dict[str, Any] | None) -> dict[str, Any]:
    if not entry:
        return {}
    spacing, voxels = [float(s) for s in entry["spacing_mm"]], [int(n) for n in entry["voxels"]]
    if len(spacing) != 3 or len(voxels) != 3 or min(*spacing, *voxels) < 0:
        raise ValueError("its grid needs three spacings and three numbers of voxels, none below 0")
    return {"spacing_mm": spacing, "voxels": voxels}


def read_views(entry: dict[str, Any]) -> tuple[tuple[float, float], ...]:
    """The views of a network's entry in a card, (spacing in mm, share) each.

    Raises:
        ValueError: they make no average, or the network's grid has not one spacing.
    """
    views = tuple((float(spacing), float(share)) for spacing, share in entry.get("views") or ())
    if not views:
        return ()
    if entry.get("grid") or min(min(view) for view in views) <= 0:
        raise ValueError("views need a grid of one spacing, and spacings and shares above 0")
    if abs(sum(share for _, share in views) - 1) > 1e-3:
        raise ValueError("the shares of its views do not sum to 1")
    return views


def installed_bundles() -> list[Bundle]:
    """All bundles under ``Resources/Models`` whose card can be read, by name; others are logged."""
    return bundles_in(resources_folder() / "Models")


def bundles_in(folder: Path) -> list[Bundle]:
    """The bundle that a folder is, or the bundles in its folders; cards that cannot be read are logged."""
    own = folder / "card.json"
    bundles = []
    for card in [own] if own.is_file() else sorted(folder.glob("*/card.json")):
        try:
            bundles.append(read_bundle(card.parent))
        except ModelError as error:
            log.warning("%s", error)
    return bundles


def find_bundle(name: str | None = None) -> Bundle:
    """The bundle of that name, or in the folder of that path; the default one for None.

    Raises:
        ModelError: there is none; the message lists what there is.
    """
    wanted = name or DEFAULT_MODEL
    if name and (Path(name) / "card.json").is_file():
        return read_bundle(Path(name))
    bundles = installed_bundles()
    for bundle in bundles:
        if bundle.name == wanted:
            return bundle
    there = ", ".join(b.name for b in bundles) or "none"
    raise ModelError(
        f"no model named {wanted!r} (installed: {there}); give one of these or a bundle's folder"
    )


def file_sha256(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def networks_kept() -> Iterator[None]:
    """Inside of the block every network is loaded and checked once, however many CTs are read out."""
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def load_network(bundle: Bundle, stage: str) -> torch.nn.Module:
    """A network of a bundle with its weights, in evaluation mode, on the CPU when it is loaded anew.

    Raises:
        ModelError: the stage or the file is missing, the file is not the one the card names, or does not fit.
    """
    kept = _kept.get()
    if kept is None:
        return _load_network(bundle, stage)
    key = (bundle.folder, stage)
    if key not in kept:
        kept[key] = _load_network(bundle, stage)
    return kept[key]


def _load_network(bundle: Bundle, stage: str) -> torch.nn.Module:
    from liverseg.networks import build_network
    from liverseg.weights import read_weights

    if stage not in bundle.networks:
        raise ModelError(f"the model {bundle.name} has no network for {stage}; choose another model")
    card = bundle.networks[stage]
    path = bundle.folder / card.file
    if not path.is_file():
        raise ModelError(f"{path} is missing; copy the bundle {bundle.name} again")
    if file_sha256(path) != card.sha256:
        raise ModelError(
            f"{path} is damaged or changed (sha256 differs from the card); copy the bundle again"
        )
    network = build_network(card.network)
    try:
        missing, surplus = network.load_state_dict(read_weights(path), strict=False)
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit the network in its card; copy the bundle again") from error
    if surplus or any(not name.startswith(_SECOND_NAMES) for name in missing):
        raise ModelError(f"{path} does not fit the network in its card; copy the bundle again")
    return network.eval()


def save_network(network: torch.nn.Module, path: Path, eight_bits: bool = False) -> str:
    """Write a network's weights as :func:`liverseg.weights.write_weights`; returns the file's sha256."""
    from liverseg.weights import write_weights

    own = {n: t for n, t in network.state_dict().items() if not n.startswith(_SECOND_NAMES)}
    write_weights(own, path, eight_bits)
    return file_sha256(path)
