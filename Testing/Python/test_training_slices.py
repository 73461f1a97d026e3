"""Slices of a cache: the right ones, with their neighbors, and something can be learned from them."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from liverseg.errors import InputRefused, UsageError
from liverseg.slicewise import predict_slicewise
from liverseg.training.cached_cases import (
    SLICES,
    WHOLE,
    CachedGrid,
    Code,
    Known,
    cached_grid,
    cached_names,
    load_cached,
    write_cached,
)
from liverseg.training.losses import dice_ce, sample_loss
from liverseg.training.sampling import Shares
from liverseg.training.slice_loading import LoaderOptions, SliceBatch, SliceDataset, SliceTask, slice_loader
from liverseg.training.slices import (
    SliceChoice,
    choose_slices,
    export_slices,
    export_weak_slice,
    load_slices,
)
from liverseg.training.synth.weak_slices import WeakSlice

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (40, 44, 52)


@pytest.fixture
def cache(tmp_path):
    """Two made-up livers in slices 10 to 29 with a lesion in 15 to 19; gray values tell the slice."""
    label = np.zeros(SHAPE, np.uint8)
    label[10:30, 8:36, 10:40] = Code.LIVER
    label[15:20, 14:24, 16:26] = Code.LESION
    for n, case in enumerate(("lits_004", "ircad_02")):
        noise = np.random.default_rng(n).integers(0, 12, SHAPE)
        image = np.where(label == 0, 60, np.where(label == 1, 160, 100)) + noise
        image[:, 0, 0] = np.arange(SHAPE[0])
        write_cached(tmp_path / "cache", case, label, image.astype(np.uint8), Known())
    return tmp_path / "cache"


def test_all_slices_with_liver_or_lesion_are_kept_and_a_share_of_the_others():
    label = np.zeros((30, 4, 4), np.uint8)
    label[5:15] = Code.LIVER
    label[15] = Code.LESION
    for share, empty in ((0.0, 0), (0.2, 2), (1.0, 11), (9.0, 19)):
        numbers = choose_slices(label, SliceChoice(share))
        assert numbers == sorted(set(numbers)) and set(range(5, 16)) <= set(numbers)
        assert len(numbers) == 11 + empty
    assert choose_slices(label, SliceChoice(0.5)) == choose_slices(label, SliceChoice(0.5))
    assert choose_slices(label, SliceChoice(0.5)) != choose_slices(label, SliceChoice(0.5, seed=1))
    with pytest.raises(UsageError, match="odd number"):
        SliceChoice(context=2)
    with pytest.raises(UsageError, match="0 or more"):
        SliceChoice(-1)


def test_a_slice_is_written_with_its_neighbors_and_goes_back_into_its_place(cache, tmp_path):
    exported = export_slices(cache, "lits_004", tmp_path / "slices", SliceChoice(0.5, context=3))
    case, whole = exported.cached, load_cached(cache, "lits_004")
    assert case.image is not None and case.image.shape == (30, 3, 44, 52)
    assert case.label.shape == (30, 44, 52) and exported.depth == 40
    corner = case.image[:, :, 0, 0].int()
    for row, number in enumerate(exported.numbers):
        assert torch.equal(case.label[row], whole.label[number])
        assert corner[row].tolist() == [max(number - 1, 0), number, min(number + 1, 39)]
    # What a perfect network says of the kept slices is the whole label: the others are background.
    truth = torch.nn.functional.one_hot(case.label.long(), 3).movedim(-1, 1).float()
    assert torch.equal(exported.stacked(truth).argmax(dim=0), whole.label.long())


def test_slices_say_their_scans_grid_and_their_context(cache, tmp_path):
    export_slices(cache, "lits_004", tmp_path / "slices", SliceChoice(context=3))
    assert cached_grid(tmp_path / "slices", "lits_004") == CachedGrid(SLICES, None, None, 3), "an old cache"
    scan = load_cached(cache, "lits_004")
    grid = CachedGrid(WHOLE, (1.5, 1.5, 1.5))
    write_cached(cache, "lits_004", scan.label.numpy(), scan.image.numpy(), scan.known, grid=grid)
    export_slices(cache, "lits_004", tmp_path / "slices", SliceChoice(context=1))
    assert cached_grid(tmp_path / "slices", "lits_004") == CachedGrid(SLICES, (1.5,) * 3, context=1)


def test_what_is_not_exported_or_damaged_is_said_plainly(cache, tmp_path):
    with pytest.raises(InputRefused, match="no exported slices"):
        load_slices(cache, "lits_004")
    export_slices(cache, "lits_004", tmp_path / "slices", SliceChoice())
    np.save(tmp_path / "slices" / "lits_004" / "label.npy", np.zeros((3, 44, 52), np.uint8))
    with pytest.raises(InputRefused, match="export it again"):
        load_slices(tmp_path / "slices", "lits_004")
    write_cached(tmp_path / "maps", "lits_070", np.ones((8, 8, 8), np.uint8), None, Known())
    with pytest.raises(InputRefused, match="no image"):
        export_slices(tmp_path / "maps", "lits_070", tmp_path / "slices", SliceChoice())


def dataset(cache: Path, folder: Path, context: int) -> SliceDataset:
    choice = SliceChoice(0.1, context=context)
    cases = {name: export_slices(cache, name, folder, choice) for name in ("lits_004", "ircad_02")}
    return SliceDataset(cases, (48, 48))


def test_a_sample_is_the_slice_cut_and_padded_and_what_lies_outside_does_not_count(cache, tmp_path):
    data = dataset(cache, tmp_path / "slices", 3)
    assert len(data) == 44
    sample, (name, row) = data[5], data.places[5]
    case = data.cases[name].cached
    assert sample.inputs.shape == (3, 48, 48) and sample.target.shape == sample.counted.shape == (1, 48, 48)
    # 44 rows lie in 48, of 52 columns 48 are cut out.
    assert int(sample.counted.any(dim=2).sum()) == 44 and bool(sample.counted.any(dim=1).all())
    assert torch.equal(sample.target[0][sample.counted[0]].reshape(44, 48), case.label[row][:, 2:50].long())
    assert case.image is not None
    inner = sample.inputs[:, sample.counted[0]].reshape(3, 44, 48)
    assert torch.allclose(inner, case.image[row][:, :, 2:50] / 255, atol=1e-4)
    assert sample.groups == ((0,), (1, 3, 4), (2,)), "vessels that nobody drew are liver"


def test_loaders_give_batches_alike_with_workers_that_live_on(cache, tmp_path):
    data = dataset(cache, tmp_path / "slices", 1)
    plain = list(slice_loader(data, LoaderOptions(batch=16)))
    loader = slice_loader(data, LoaderOptions(batch=16, workers=1, persistent=True, pinned=True))
    assert loader.persistent_workers
    for _ in range(2):
        for one, other in zip(plain, loader, strict=True):
            assert isinstance(one, SliceBatch) and isinstance(other, SliceBatch)
            assert torch.equal(one.inputs, other.inputs) and torch.equal(one.target, other.target)
    assert plain[0].inputs.shape == (16, 1, 48, 48) and plain[0].target.shape == (16, 48, 48)


def small_network(context: int) -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(context, 8, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 5, 3, padding=1),
    )


@pytest.mark.parametrize("context", [1, 3])
def test_a_network_learns_from_slices_and_reads_a_scan_slice_by_slice(context, cache, tmp_path):
    data = dataset(cache, tmp_path / "slices", context)
    cases = {name: case.cached for name, case in data.cases.items()}
    task = SliceTask(cases, Shares(0.5, 0.4, 0.1), 0.0, (1, 32, 32))
    network, rng = small_network(context), np.random.default_rng(0)
    optimizer = torch.optim.Adam(network.parameters(), 0.03)
    for _ in range(60):
        samples = [task.sample(rng) for _ in range(4)]
        logits = network(torch.stack([s.inputs for s in samples]))
        losses = [
            # Losses want a z axis.
            sample_loss(one[:, None], s.target, s.counted, s.groups, dice_ce, 1)
            for one, s in zip(logits, samples, strict=True)
        ]
        optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        optimizer.step()
    whole = load_cached(cache, "ircad_02")
    assert whole.image is not None
    scores = predict_slicewise(network, whole.image[None].float() / 255, context, multiple=1)
    found, truth = scores[1:].sum(dim=0) > 0.5, whole.label > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.9


def test_slices_are_drawn_by_the_shares(cache, tmp_path):
    data = dataset(cache, tmp_path / "slices", 1)
    cases = {name: case.cached for name, case in data.cases.items()}
    rng = np.random.default_rng(1)
    for shares, code in ((Shares(1, 0, 0), Code.LESION), (Shares(0, 1, 0), Code.LIVER)):
        task = SliceTask(cases, shares, 0.0, (1, 32, 32))
        assert all((task.sample(rng).target >= code).any() for _ in range(20))
    one, same = (SliceTask(cases, Shares(), 0.0, (1, 32, 32)).sample(np.random.default_rng(3)) for _ in "ab")
    assert torch.equal(one.inputs, same.inputs) and torch.equal(one.target, same.target)


def test_the_script_exports_a_cache(cache, tmp_path, monkeypatch, capsys):
    script = ROOT / "scripts" / "export_slices.py"
    arguments = ["--cache", cache, "--out", tmp_path / "slices", "--context", 3, "--empty", 0]
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(script), run_name="__main__")
    assert capsys.readouterr().out.startswith("40 of 80 slices of 2 scans")
    assert load_slices(tmp_path / "slices", "ircad_02").numbers == tuple(range(10, 30))


def weak_slice() -> WeakSlice:
    """A slice of 60 x 80 pixels of 2 mm with a liver, one column of which was clipped away."""
    liver = np.zeros((60, 80), dtype=bool)
    liver[20:40, 30:60] = True
    unknown = np.zeros_like(liver)
    unknown[20:40, 44:48] = True
    hu = np.where(liver, 100, -95).astype(np.float32)
    nothing = np.zeros_like(liver)
    return WeakSlice("lits_050_slice_010", hu, liver, nothing, nothing, unknown, 2.0)


@pytest.mark.parametrize("context", [1, 3])
def test_a_weak_slice_teaches_the_liver_and_says_nothing_of_lesions(context, tmp_path):
    export_weak_slice(weak_slice(), tmp_path, 1.5, context)
    case = load_slices(tmp_path, "lits_050_slice_010").cached
    assert case.image is not None and case.image.shape == (1, context, 80, 107)
    assert int((case.label > 0).sum()) * 1.5**2 == pytest.approx(20 * 30 * 2**2, rel=0.03)
    assert float(case.image[:, :, case.label[0] > 0].float().mean()) / 255 * 400 - 160 == pytest.approx(
        100, abs=8
    )
    assert case.counted is not None
    assert int((~case.counted.bool()).sum()) * 1.5**2 == pytest.approx(20 * 4 * 2**2, rel=0.15)
    task = SliceTask({case.case: case}, Shares(0, 1, 0), 0.0, (1, 64, 64))
    sample = task.sample(np.random.default_rng(0))
    assert sample.inputs.shape == (context, 64, 64) and sample.groups == ((0,), (1, 2, 3, 4))


def test_the_script_exports_weak_slices(tmp_path, monkeypatch, capsys):
    pixels = {"image": np.full((2, 64, 64), 90, np.uint8), "liver": np.zeros((2, 64, 64), dtype=bool)}
    pixels["liver"][:, 20:40, 20:40] = True
    numbers = np.array([50, 50], dtype=np.int16)
    np.savez(tmp_path / "lits_slices.npz", lits_id=numbers, slice=np.array([3, 9], np.int16), **pixels)
    windows = {"lesion_window": pixels["liver"], "clear_window": ~pixels["liver"]}
    sure = {"source": np.array([1, 1], np.int8), "pixel_mm": np.array([1.5, 1.5], np.float32)}
    np.savez(tmp_path / "lits_slices_weak.npz", lits_id=numbers, **windows, **sure)
    script = ROOT / "scripts" / "export_slices.py"
    monkeypatch.setattr(sys, "argv", [str(script), "--weak", str(tmp_path), "--out", str(tmp_path / "weak")])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(script), run_name="__main__")
    assert capsys.readouterr().out.startswith("2 slices of 1 person\n")
    assert cached_names(tmp_path / "weak") == ["lits_050_slice_003", "lits_050_slice_009"]
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--seed", "-1"])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(script), run_name="__main__")
    assert capsys.readouterr().err == "export_slices: --seed is -1; it must be at least 0\n"
