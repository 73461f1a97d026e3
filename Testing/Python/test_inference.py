"""Windows over a volume, and what happens when memory runs out."""

from __future__ import annotations

import pytest
import torch

from liverseg import stages
from liverseg.bundle import find_bundle, load_network
from liverseg.device import TILES, Rung, choose_device, found_devices, is_out_of_memory, ladder
from liverseg.errors import Cancelled, OutOfMemory, UsageError
from liverseg.inference import sliding_scores, window_size

CPU = Rung("cpu", "fp32")


class Brightness(torch.nn.Module):
    """Class 1 where a voxel is bright; its answer depends on no neighbor, so windows must not show."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([-x, x], dim=1) * 3


def test_windows_leave_no_trace_in_the_scores():
    volume = torch.randn((1, 40, 37, 53), generator=torch.Generator().manual_seed(0))
    scores = sliding_scores(Brightness(), volume, (16, 16, 16), 3, CPU)
    expected = torch.softmax(torch.cat([-volume, volume]) * 3, dim=0)
    assert scores.shape == (2, 40, 37, 53)
    assert torch.allclose(scores, expected, atol=1e-5)


def test_a_volume_smaller_than_a_window_is_padded_and_cut_back():
    volume = torch.ones((1, 5, 6, 7))
    assert sliding_scores(Brightness(), volume, (16, 16, 16), 3, CPU).shape == (2, 5, 6, 7)


def test_windows_without_a_voxel_of_interest_are_skipped():
    volume = torch.ones((1, 16, 16, 64))
    where = torch.zeros((16, 16, 64), dtype=torch.bool)
    where[8, 8, 4] = True
    scores = sliding_scores(Brightness(), volume, (16, 16, 16), 3, CPU, where=where)
    assert scores[1, 8, 8, 4] > 0.9
    assert float(scores[1, :, :, 40:].max()) == 0
    assert float(scores[0, :, :, 40:].min()) == 1


def test_windows_are_multiples_of_what_the_network_halves():
    assert window_size((300, 300, 300), (64, 80, 80), 5, 1.0) == (64, 80, 80)
    assert window_size((70, 83, 10), (64, 80, 80), 5, 1.0) == (80, 96, 16), "one window where it nearly fits"
    assert window_size((200, 200, 200), (64, 80, 80), 5, 0.5) == (32, 48, 48)


def test_a_scan_of_a_few_voxels_passes_the_real_network():
    assert max(window_size((4, 5, 6), (64, 80, 80), 5, 1.0)) == 32
    network = load_network(find_bundle(), "stage1")
    scores = sliding_scores(network, torch.zeros((1, 4, 5, 6)), (64, 80, 80), 5, CPU)
    assert scores.shape == (3, 4, 5, 6), "background, liver, aorta"


def test_a_mask_grows_by_so_many_voxels_along_each_axis():
    mask = torch.zeros((9, 9, 9))
    mask[4, 4, 4] = 1
    wide = stages.grown(mask, (2, 1, 0))
    assert int(wide.sum()) == 15
    assert bool(wide[2:7, 3:6, 4].all())


def test_a_rung_without_free_memory_is_left_out_and_said_so(monkeypatch):
    monkeypatch.setattr(stages, "free_memory_bytes", lambda device: 10**9)
    result, ran = stages.on_ladder("cpu", lambda rung: rung.tile)
    assert result == 0.5
    assert "too little memory" in ran.warnings[0]


def test_half_size_windows_are_taken_from_the_start_when_wanted():
    assert {rung.tile for rung in ladder("cpu")} == {1.0, 0.5}
    assert {rung.tile for rung in ladder("mps", TILES["half"])} == {0.5}
    result, ran = stages.on_ladder("cpu", lambda rung: rung.tile, TILES["half"])
    assert result == 0.5 and not ran.warnings


def test_devices_are_told_and_the_first_is_what_auto_takes():
    found = found_devices()
    assert found[-1].device == "cpu" and "core" in found[-1].describe()
    assert found[0].device == choose_device("auto")


def test_cancel_is_felt_after_the_running_window():
    seen = []

    def stop(fraction: float, message: str) -> None:
        seen.append(fraction)
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        sliding_scores(Brightness(), torch.ones((1, 64, 64, 64)), (16, 16, 16), 3, CPU, progress=stop)
    assert len(seen) == 1


def test_the_next_rung_is_tried_when_memory_runs_out_and_said_so():
    tried = []

    def work(rung: Rung) -> str:
        tried.append(rung)
        if rung.tile == 1:
            raise torch.OutOfMemoryError("full")
        return "done"

    result, ran = stages.on_ladder("cpu", work)
    assert result == "done"
    assert ran.rung.tile == 0.5
    assert len(tried) == 2
    assert "out of memory" in ran.warnings[0]


def test_out_of_memory_on_every_rung_ends_in_one_clear_error():
    def work(rung: Rung) -> None:
        raise MemoryError

    with pytest.raises(OutOfMemory, match="every rung"):
        stages.on_ladder("cpu", work)


def test_other_errors_do_not_climb_down_the_ladder():
    def work(rung: Rung) -> None:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        stages.on_ladder("cpu", work)


def test_a_gpu_run_ends_on_the_cpu_at_last():
    assert [r.device for r in ladder("mps")][-1] == "cpu"
    assert is_out_of_memory(torch.OutOfMemoryError("x"))
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize(
    "text",
    [
        "[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.",
        "[enforce fail] . DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ],
)
def test_memory_that_ran_out_is_known_by_every_allocator_s_words(text):
    def work(rung: Rung) -> float:
        if rung.tile == 1.0:
            raise RuntimeError(text)
        return rung.tile

    assert stages.on_ladder("cpu", work)[0] == 0.5


def test_a_device_that_is_not_there_is_refused_with_what_is():
    assert choose_device("cpu") == "cpu"
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="usable: .*cpu"):
            choose_device("cuda")
