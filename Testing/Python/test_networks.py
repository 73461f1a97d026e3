"""Every network learns one small phantom, goes into a bundle, and the engine finds the liver with it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from liverseg.bundle import load_network, read_bundle, save_network
from liverseg.errors import InputRefused, ModelError
from liverseg.geometry import CanonicalOrder
from liverseg.intensity import normalize_hu
from liverseg.networks import FAMILIES, build_network, resolution_levels, size_multiple
from liverseg.networks.members import Member
from liverseg.networks.over_slices import with_neighbors
from liverseg.networks.resnet_unet import load_imagenet_weights
from liverseg.phantom import make_phantom
from liverseg.stages import find_lesions, find_liver
from liverseg.training.cached_cases import WINDOW, Known, write_cached
from liverseg.training.config import (
    DataConfig,
    OptimizerConfig,
    RunConfig,
    TaskConfig,
    TrainerConfig,
)
from liverseg.training.export import export_bundle
from liverseg.training.road_config import NetworkConfig, ScanConfig
from liverseg.training.run import train
from liverseg.training.scan_cache import SEGMENTS_FILE

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (32, 32, 32)
SPACING = (7.0, 7.0, 7.0)

# Tiny members of each family: name of the test, settings, filters of the levels, steps, learning rate.
SMALL: dict[str, tuple[dict[str, Any], list[int], int, float]] = {
    "DynUNet": ({}, [8, 16, 16], 50, 1e-2),
    "PlainUNet": ({"options": {"norm": "instance"}}, [8, 16, 16], 40, 1e-2),
    "ClassicUNet": ({}, [4, 8, 8], 60, 2e-2),
    "ResNetUNet": (
        {
            "dimensions": 2,
            "options": {"encoder": "resnet34", "decoder": [32, 16, 16, 8, 8], "repeat": 3},
        },
        [],
        42,
        2e-3,
    ),
    "TwoHeads": ({"options": {"trunk": {"name": "DynUNet", "filters": [8, 16, 16]}}}, [], 50, 1e-2),
    "2.5D": ({"name": "ClassicUNet", "dimensions": 2, "context": 3}, [8, 16, 16], 70, 1e-2),
    "SegResNet": ({"options": {"init_filters": 8, "blocks_down": [1, 1, 1]}}, [], 45, 1e-2),
    "SegResNetVAE": ({"options": {"init_filters": 8, "blocks_down": [1, 1, 1], "latent": 8}}, [], 50, 1e-2),
    "AttentionUNet": ({}, [8, 16, 16], 50, 2e-2),
    "SwinUNETR": (
        {"options": {"feature_size": 12, "depths": [1, 1, 1, 1], "heads": [1, 2, 2, 2], "window": 4}},
        [],
        30,
        8e-3,
    ),
    "UNETR": ({"options": {"hidden_size": 24, "feature_size": 4, "heads": 2}}, [], 34, 1.5e-2),
    "TransUNet": ({"options": {"hidden_size": 16, "layers": 1, "heads": 2}}, [8, 16, 16], 40, 1e-2),
}
# Five halvings of 32 leave one voxel, and instance normalization needs two.
PATCHES = {"SwinUNETR": [64, 32, 32], "UNETR": [32, 32, 32]}


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """The middle of a phantom, 32 voxels to a side: its CT, its liver with lesions, a cache of it."""
    phantom = make_phantom(
        seed=3, shape_kji=(48, 56, 56), spacing_kji=SPACING, diameters_mm=[40.0], noise_hu=5
    )
    order = CanonicalOrder.of(phantom.ct.geometry)
    hu, liver = order.apply(phantom.ct.array), order.apply(phantom.masks.liver) > 0
    center = [int(np.mean(line)) for line in np.nonzero(liver)]
    starts = [min(max(0, c - n // 2), size - n) for c, n, size in zip(center, SHAPE, hu.shape, strict=True)]
    box = tuple(slice(start, start + n) for start, n in zip(starts, SHAPE, strict=True))
    label = (liver.astype(np.uint8) + (order.apply(phantom.masks.lesions) > 0))[box]
    folder = tmp_path_factory.mktemp("cache")
    image = np.round(normalize_hu(hu[box], WINDOW) * 255).astype(np.uint8)
    write_cached(folder, "phantom_1", label.astype(np.uint8), image, Known())
    halves = np.where(np.arange(SHAPE[2]) < SHAPE[2] // 2, 2, 7)
    np.save(folder / "phantom_1" / SEGMENTS_FILE, np.where(label > 0, halves, 0).astype(np.uint8))
    return np.ascontiguousarray(hu[box]), label > 0, folder


def settings(name: str, cache: Path, run: Path) -> RunConfig:
    own, filters, steps, rate = SMALL[name]
    network = NetworkConfig(**{"name": name, **own})
    flat = network.dimensions == 2
    return RunConfig(
        run=str(run),
        data=DataConfig(cache=str(cache), workers=0),
        task=TaskConfig(
            name="scan",
            patch=PATCHES.get(name, [1, 32, 32] if flat else [24, 24, 24]),
            lesion=0.0,
            liver=1.0,
            anywhere=0.0,
            phantom_share=1.0,
            filters=filters,
            deep_supervision=0,
        ),
        optimizer=OptimizerConfig(
            learning_rate=rate, warm_up=1, average=0.5, schedule="cosine", redrawing=0.01, divergence=0.01
        ),
        trainer=TrainerConfig(
            steps=steps,
            steps_an_epoch=steps,
            batch=4 if flat else 1,
            accumulate=1,
            precision="bf16-mixed",
        ),
        network=network,
        scan=ScanConfig(
            classes=["liver", "lesion"] if name == "TwoHeads" else ["liver"],
            segments=name == "TwoHeads",
            spacing_mm=[0.0, 0.0, 0.0],
        ),
    )


def test_every_family_is_among_the_small_ones():
    assert {own.get("name", name) for name, (own, *_) in SMALL.items()} == set(FAMILIES)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_network_learns_a_phantom_and_the_engine_finds_the_liver_with_it(name, patient, tmp_path):
    hu, liver, cache = patient
    train(settings(name, cache, tmp_path / "run"))
    export_bundle(tmp_path / "mine", "mine", {"stage1": tmp_path / "run"}, {})
    bundle = read_bundle(tmp_path / "mine")
    found, ran = find_liver(hu, SPACING, bundle, "cpu")
    assert found is not None
    dice = 2 * (found.mask & liver).sum() / (found.mask.sum() + liver.sum())
    print(f"{name}: Dice {dice:.3f}")
    assert dice > 0.8
    assert not any(part.startswith("vae_") for part in load_network(bundle, "stage1").state_dict())


DESCRIPTION = {"name": "DynUNet", "in_channels": 1, "out_channels": 2, "filters": [4, 8, 8]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "NoNet"}, "this version knows AttentionUNet, ClassicUNet"),
        ({"filter": [4]}, "no option filter; it knows filters, kernels"),
        ({"name": "UNETR"}, "lacks patch"),
        ({"name": "SegResNetVAE", "patch": [16, 16, 16], "dimensions": 2}, "has 3 dimensions, not 2"),
        ({"dimensions": 2, "context": 2}, "may be an odd number"),
        ({"name": "PlainUNet", "norm": "layer"}, "none, instance, batch"),
        ({"name": "ResNetUNet", "encoder": "vgg16"}, "resnet34"),
        ({"name": "ResNetUNet", "library": "timm"}, "monai or smp"),
    ],
)
def test_a_description_that_does_not_fit_is_told(changes, said):
    description = {**DESCRIPTION, **changes}
    if changes.get("name") not in (None, "PlainUNet"):
        del description["filters"]
    with pytest.raises(ModelError, match=said):
        build_network(description)


def test_a_missing_package_is_named_with_the_network_that_needs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "einops", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="SwinUNETR needs the package einops: pip install einops"):
        build_network({"name": "SwinUNETR", "in_channels": 1, "out_channels": 2})


def test_segmentation_models_pytorch_is_used_or_its_absence_told():
    description = {"name": "ResNetUNet", "in_channels": 1, "out_channels": 2, "dimensions": 2}
    try:
        network = build_network({**description, "library": "smp"})
    except ModelError as error:
        assert "set library to monai" in str(error)
    else:
        assert network(torch.zeros(1, 1, 1, 64, 64)).shape == (1, 2, 1, 64, 64)


def test_sizes_that_a_network_wants_are_known():
    assert size_multiple(DESCRIPTION) == (4, 4, 4)
    assert resolution_levels({**DESCRIPTION, "dimensions": 2}) == (1, 3, 3)
    common = {"in_channels": 1, "out_channels": 2}
    assert size_multiple({"name": "SegResNet", **common}) == (8, 8, 8)
    assert size_multiple({"name": "SegResNetVAE", "patch": [32] * 3, **common}) == (16, 16, 16)
    assert size_multiple({"name": "SwinUNETR", **common}) == (32, 32, 32)
    assert size_multiple({"name": "UNETR", "patch": [32] * 3, **common}) == (16, 16, 16)
    assert size_multiple({"name": "ResNetUNet", "dimensions": 2, **common}) == (1, 32, 32)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("UNETR", {"hidden_size": 24, "heads": 2}),
        ("TransUNet", {"hidden_size": 16, "heads": 2, "layers": 1, "filters": [4, 8, 8]}),
    ],
)
def test_positions_learned_on_a_patch_serve_windows_of_another_size(name, options):
    description = {"name": name, "patch": [32] * 3, "in_channels": 1, "out_channels": 2, **options}
    network = build_network(description).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, 32, 48, 64)).shape == (1, 2, 32, 48, 64)


def test_slices_are_seen_with_their_neighbors_and_the_last_ones_with_themselves():
    volume = torch.arange(4.0)[None, None, :, None, None].expand(1, 1, 4, 2, 2)
    stacks = with_neighbors(volume, 3)
    assert stacks[:, :, 0, 0].tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]]


def test_a_network_over_slices_gives_a_volume_what_it_gives_its_slices():
    network = build_network({**DESCRIPTION, "dimensions": 2, "context": 3}).eval()
    volume = torch.rand(2, 1, 5, 16, 16)
    with torch.inference_mode():
        whole = network(volume)
        middle = network(volume[:, 0, 1:4])
    torch.testing.assert_close(whole[:, :, 2], middle, rtol=1e-4, atol=1e-5)


def test_the_ct_is_scaled_before_the_first_layer_and_a_mask_is_not():
    seen = []
    network = build_network({**DESCRIPTION, "in_channels": 2, "normalization": {"scale": 2.0, "shift": -1.0}})
    network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        network(torch.ones(1, 2, 8, 8, 8) * torch.tensor([0.25, 1.0])[:, None, None, None])
    assert seen[0][0, :, 0, 0, 0].tolist() == [-0.5, 1.0]


def test_imagenet_weights_of_a_local_file_go_into_the_encoder(tmp_path):
    description = {"name": "ResNetUNet", "in_channels": 1, "out_channels": 2, "dimensions": 2}
    small = {**description, "encoder": "resnet10"}
    colors = build_network({**small, "repeat": 3})
    weights = {
        name.split("encoder.")[1]: torch.rand_like(value) if value.is_floating_point() else value
        for name, value in colors.state_dict().items()
        if "encoder." in name
    }
    torch.save({**weights, "fc.weight": torch.zeros(2, 2)}, tmp_path / "resnet10.pth")
    load_imagenet_weights(colors, tmp_path / "resnet10.pth")
    assert torch.equal(colors.plane.network.encoder.layer4[0].conv1.weight, weights["layer4.0.conv1.weight"])
    gray = build_network(small)
    load_imagenet_weights(gray, tmp_path / "resnet10.pth")
    first = gray.plane.encoder.conv1.weight
    torch.testing.assert_close(first.sum(1), weights["conv1.weight"].sum(1))
    with pytest.raises(ModelError, match="does not hold torchvision's weights"):
        load_imagenet_weights(build_network(description), tmp_path / "resnet10.pth")
    with pytest.raises(ModelError, match="takes ImageNet weights"):
        load_imagenet_weights(build_network(DESCRIPTION), tmp_path / "resnet10.pth")


def test_whole_numbers_in_a_state_are_kept_by_a_bundle(tmp_path):

    network = torch.nn.BatchNorm3d(2)
    network.num_batches_tracked += 70001
    save_network(network, tmp_path / "weights.safetensors")
    assert int(load_file(tmp_path / "weights.safetensors")["num_batches_tracked"]) == 70001


def test_one_network_of_liver_and_lesions_is_both_stages_and_one_of_lesions_leaves_the_liver(
    patient, tmp_path
):
    hu, liver, cache = patient
    both = settings("DynUNet", cache, tmp_path / "both")
    both.scan.classes = ["liver", "lesion"]
    both.trainer.steps = both.trainer.steps_an_epoch = 80
    train(both)
    export_bundle(tmp_path / "one", "one", dict.fromkeys(("stage1", "stage2"), tmp_path / "both"), {})
    bundle = read_bundle(tmp_path / "one")
    rough, _ = find_liver(hu, SPACING, bundle, "cpu")
    assert rough is not None
    fine, _ = find_lesions(hu, SPACING, rough, bundle, "cpu")
    assert fine is not None
    inside = liver[rough.box]
    assert 2 * (fine.liver & inside).sum() / (fine.liver.sum() + inside.sum()) > 0.8
    alone = settings("DynUNet", cache, tmp_path / "alone")
    alone.scan.classes = ["lesion"]
    alone.trainer.steps = alone.trainer.steps_an_epoch = 1
    train(alone)
    export_bundle(tmp_path / "one", "one", {"stage2": tmp_path / "alone"}, {})
    rest, _ = find_lesions(hu, SPACING, rough, read_bundle(tmp_path / "one"), "cpu")
    assert rest is not None
    found = rough.mask[rough.box]
    assert (rest.liver & found).sum() / found.sum() > 0.9
    with pytest.raises(InputRefused, match="another network than stage1"):
        export_bundle(tmp_path / "one", "one", {"stage1": tmp_path / "alone"}, {})


def test_the_layers_of_a_network_are_drawn_with_their_shapes_and_parameters(tmp_path):
    root = Path(__file__).resolve().parents[2]
    spec = importlib.util.spec_from_file_location("draw_network", root / "scripts" / "draw_network.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    # Its dataclass looks its own module up.
    sys.modules["draw_network"] = script
    spec.loader.exec_module(script)
    member = Member((16, 16, 16), {"name": "TransUNet", "filters": [4, 8, 8], "patch": [16] * 3, "layers": 1})
    network, layers = script.layers_of(member)
    named = dict(network.named_modules())
    assert all(layer.parameters == sum(p.numel() for p in named[layer.name].parameters()) for layer in layers)
    first, last = layers[0], layers[-1]
    assert (first.inputs, first.outputs) == ((1, 16, 16, 16), (4, 16, 16, 16))
    assert (last.name, last.outputs) == ("head", (3, 16, 16, 16))
    assert {layer.kind for layer in layers} == set(script.COLORS)
    script.draw("TransUNet", member, layers, 1, tmp_path / "net.svg")
    assert "<svg" in (tmp_path / "net.svg").read_text()
    assert "blocks.0.attn.qkv" in script.table("TransUNet", layers, 1)
