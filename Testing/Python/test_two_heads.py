"""Lesions and Couinaud segments on shared features: two heads, one set of probabilities, partial labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from liverseg.bundle import read_bundle
from liverseg.errors import InputRefused, ModelError, UsageError
from liverseg.geometry import CanonicalOrder, Geometry
from liverseg.intensity import hu_of
from liverseg.networks import build_network, size_multiple
from liverseg.pipeline import SegmentOptions, segment
from liverseg.stages import score_of
from liverseg.training.cached_cases import (
    WHOLE,
    WINDOW,
    CachedGrid,
    Known,
    cached_grid,
    load_cached,
    write_cached,
)
from liverseg.training.config import (
    DataConfig,
    OptimizerConfig,
    RunConfig,
    TaskConfig,
    TrainerConfig,
)
from liverseg.training.config_checks import check_config
from liverseg.training.datasets import LabeledScan
from liverseg.training.export import export_bundle, trained_network
from liverseg.training.losses import cross_entropy, sample_loss
from liverseg.training.road_config import NetworkConfig, ScanConfig
from liverseg.training.run import train
from liverseg.training.scan_cache import SEGMENTS_FILE, cache_on_grid, load_segments
from liverseg.training.scan_task import classes_of, in_segments
from liverseg.volume import Volume
from made_data import write_array

DESCRIPTION = {
    "name": "TwoHeads",
    "in_channels": 1,
    "out_channels": 17,
    "trunk": {"name": "DynUNet", "filters": [4, 8, 8]},
}


def made_liver() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gray values, label and segments of a block of a liver in two halves, segments II and VII."""
    label = np.zeros((16, 16, 16), dtype=np.uint8)
    label[2:14, 2:14, 2:14] = 1
    label[6:9, 6:9, 6:9] = 2
    segments = np.where(label > 0, 2, 0).astype(np.uint8)
    segments[..., 8:][label[..., 8:] > 0] = 7
    image = (80 + 60 * (label > 0) - 40 * (label == 2) + 60 * (segments == 7)).astype(np.uint8)
    return image, label, segments


def config(cache, run) -> RunConfig:
    return RunConfig(
        run=str(run),
        data=DataConfig(cache=str(cache), workers=0),
        task=TaskConfig(name="scan", patch=[16, 16, 16], lesion=0.2, liver=0.7, deep_supervision=0),
        optimizer=OptimizerConfig(warm_up=1, learning_rate=2e-2, average=0.5, loss="cross_entropy"),
        trainer=TrainerConfig(steps=60, steps_an_epoch=60, accumulate=1, precision="bf16-mixed"),
        network=NetworkConfig(
            name="TwoHeads", options={"trunk": {"name": "DynUNet", "filters": [8, 16, 16]}}
        ),
        scan=ScanConfig(segments=True, spacing_mm=[10.0, 10.0, 10.0]),
    )


def test_a_pairs_probability_is_the_product_of_both_heads():
    torch.manual_seed(1)
    network = build_network(DESCRIPTION).eval()
    with torch.inference_mode():
        shares = torch.softmax(network(torch.rand(1, 1, 8, 8, 8)), 1)[0]
    liver, lesion = shares[1:9], shares[9:]
    torch.testing.assert_close(shares.sum(0), torch.ones(8, 8, 8))
    # The segment's share is the same whatever the tissue.
    torch.testing.assert_close(liver / liver.sum(0), lesion / lesion.sum(0), rtol=1e-4, atol=1e-5)
    assert size_multiple(DESCRIPTION) == (4, 4, 4)


def test_labels_without_segments_teach_tissue_alone_and_those_without_lesions_the_segment():
    codes = torch.tensor([[[0, 1, 2, 2]]])
    places = torch.tensor([[[0, 3, 5, 0]]])
    counted = torch.ones_like(codes, dtype=torch.bool)
    torch.manual_seed(1)
    scores = torch.randn(17, 1, 1, 4)
    shares = torch.softmax(scores, 0)[:, 0, 0]

    def mean_surprise(*known: bool) -> tuple[float, torch.Tensor]:
        target, inside, groups = in_segments(codes, places, counted, *known)
        return float(sample_loss(scores, target, inside, groups, cross_entropy, 1)), inside

    def surprise(*wanted: tuple[int, list[int]]) -> float:
        return -float(np.mean([shares[channels, place].sum().log() for place, channels in wanted]))

    both, inside = mean_surprise(True, True)
    # The lesion's second voxel lies in no segment and is left out.
    assert inside[0, 0].tolist() == [True, True, True, False]
    assert both == pytest.approx(surprise((0, [0]), (1, [3]), (2, [13])), abs=1e-5)
    livers, lesions = list(range(1, 9)), list(range(9, 17))
    tissue, _ = mean_surprise(True, False)
    assert tissue == pytest.approx(surprise((0, [0]), (1, livers), (2, lesions), (3, lesions)), abs=1e-5)
    place, _ = mean_surprise(False, True)
    assert place == pytest.approx(surprise((0, [0]), (1, [3, 11]), (2, [5, 13])), abs=1e-5)
    rough, _ = mean_surprise(False, False)
    assert rough == pytest.approx(surprise((0, [0]), *((n, livers + lesions) for n in (1, 2, 3))), abs=1e-5)


def test_both_tasks_are_learned_at_once_from_cases_with_and_without_segments(tmp_path):
    cache, run = tmp_path / "cache", tmp_path / "run"
    image, label, segments = made_liver()
    for case in ("lits_004", "lits_005"):
        write_cached(cache, case, label, image, Known())
    np.save(cache / "lits_004" / SEGMENTS_FILE, segments)
    train(config(cache, run))
    network, entry = trained_network(run)
    with torch.inference_mode():
        shares = torch.softmax(network.eval()(torch.from_numpy(image).float()[None, None] / 255), 1)[0]
    classes = tuple(entry["classes"])
    liver = score_of("liver", shares, classes) + score_of("lesion", shares, classes) > 0.5
    assert 2 * (liver.numpy() & (label > 0)).sum() / (liver.numpy().sum() + (label > 0).sum()) > 0.8
    found = (shares[1:9] + shares[9:]).argmax(0).numpy() + 1
    assert (found == segments)[label > 0].mean() > 0.8
    # One network, all of the read-out: it is stage 1, stage 2 and the split.
    export_bundle(tmp_path / "mine", "mine", {"stage1": run, "stage2": run}, {})
    card = read_bundle(tmp_path / "mine")
    assert card.networks["stage2"].classes == classes_of(ScanConfig(segments=True))
    assert "second head" in card.card["networks"]["stage2"]["segments"]
    # In canonical order (S, P, L) as the cache is, 10 mm to a side.
    ct = Volume(hu_of(image / 255, WINDOW), Geometry(image.shape, np.diag([-10.0, -10.0, 10.0, 1.0])))
    case = segment(ct, SegmentOptions(device="cpu", model=str(tmp_path / "mine"), force=True))
    assert case.method.name == "drawn with the lesions"
    drawn = CanonicalOrder.of(ct.geometry).apply(case.masks.couinaud)
    assert (drawn == segments)[(drawn > 0) & (label > 0)].mean() > 0.8
    assert ((case.masks.couinaud > 0) == case.masks.liver).all()


def test_two_heads_that_cannot_work_are_told(tmp_path):
    with pytest.raises(ModelError, match="17 classes, not 3"):
        build_network({**DESCRIPTION, "out_channels": 3})
    with pytest.raises(ModelError, match="no trunk for TwoHeads"):
        build_network({**DESCRIPTION, "trunk": DESCRIPTION})
    settings = config(tmp_path, tmp_path / "run")
    settings.scan.segments = False
    with pytest.raises(UsageError, match="go together"):
        check_config(settings)
    settings.scan = ScanConfig(segments=True, classes=["liver"])
    with pytest.raises(UsageError, match="needs scan.classes"):
        check_config(settings)


def test_segments_lie_on_the_grid_of_their_scan(tmp_path):
    _, label, segments = made_liver()
    folder = tmp_path / "data"
    hu = np.where(label > 0, 100.0, -50.0)
    hu[0] = -1000.0
    scan = LabeledScan(
        "lits_004",
        "lits_004",
        *(folder / name for name in ("ct.nii.gz", "label.nii.gz")),
        couinaud=(folder / "segments.nii.gz",),
    )
    affine = np.diag([-2.0, -2.0, 3.0, 1.0])
    for array, path in ((hu.astype(np.int16), scan.ct), (label, scan.label), (segments, scan.couinaud[0])):
        write_array(array, affine, path)
    for region, shape in (("whole", (24, 16, 16)), ("liver", (24, 16, 16))):
        settings = ScanConfig(segments=True, spacing_mm=[2.0, 2.0, 2.0], region=region, margin_mm=4.0)
        cache_on_grid(scan, settings, tmp_path / region)
        case = load_cached(tmp_path / region, "lits_004")
        found = load_segments(tmp_path / region, ["lits_004", "lits_005"])["lits_004"]
        assert tuple(found.shape) == tuple(case.label.shape) == shape
        assert torch.equal(found > 0, case.label > 0)
        assert set(found.unique().tolist()) == {0, 2, 7}
        assert cached_grid(tmp_path / region, "lits_004") == CachedGrid(WHOLE, (2.0, 2.0, 2.0))


def test_a_scan_whose_segment_iv_is_split_has_eight_segments_and_is_whole_with_them(tmp_path):
    _, label, segments = made_liver()
    paths = [tmp_path / "data" / f"{name}.nii.gz" for name in ("ct", "label", "segments")]
    scan = LabeledScan("lits_004", "lits_004", *paths[:2], couinaud=(paths[2],))
    split = np.where(segments == 2, 9, segments).astype(np.uint8)
    affine = np.diag([-2.0, -2.0, 2.0, 1.0])
    for array, path in zip(
        (np.where(label > 0, 100, -50).astype(np.int16), label, split), paths, strict=True
    ):
        write_array(array, affine, path)
    settings = ScanConfig(segments=True, spacing_mm=[2.0, 2.0, 2.0])
    cache_on_grid(scan, settings, tmp_path / "cache")
    found = load_segments(tmp_path / "cache", ["lits_004"])["lits_004"]
    assert set(found.unique().tolist()) == {0, 4, 7}
    write_array(split, np.diag([-2.0, -2.0, 3.0, 1.0]), paths[2])
    with pytest.raises(InputRefused, match="CT and segments lie on different grids"):
        cache_on_grid(scan, settings, tmp_path / "other")
    assert not (tmp_path / "other").exists(), "no case without the segments that were asked for"
