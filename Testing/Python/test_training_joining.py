"""A whole-scan network and a local one, trained apart, are joined to one model that the engine runs."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from liverseg.bundle import find_bundle, read_bundle
from liverseg.errors import InputRefused, LiverSegError
from liverseg.geometry import CanonicalOrder
from liverseg.phantom import make_phantom
from liverseg.pipeline import SegmentOptions, segment
from liverseg.training.cached_cases import Known, write_cached
from liverseg.training.config import DataConfig, OptimizerConfig, RunConfig, TaskConfig, TrainerConfig
from liverseg.training.export import export_bundle
from liverseg.training.joining import join_bundles
from liverseg.training.road_config import NetworkConfig, ScanConfig
from liverseg.training.run import train
from liverseg.training.scan_cache import on_grid

pytestmark = pytest.mark.usefixtures("one_thread")

# The global one sees all of a scan, the local one the liver's surroundings on a finer grid.
GLOBAL = ScanConfig(classes=["liver"], region="whole", spacing_mm=[9.0, 9.0, 9.0])
LOCAL = ScanConfig(classes=["lesion"], region="liver", spacing_mm=[6.0, 6.0, 6.0])


@pytest.fixture(scope="module")
def patient():
    return make_phantom(
        seed=3, shape_kji=(48, 56, 56), spacing_kji=(7.0, 7.0, 7.0), diameters_mm=[60.0, 45.0], noise_hu=5
    )


def learned(patient, folder: Path, name: str, scan: ScanConfig, held_out: list[str]) -> Path:
    """A bundle of the one network that learned the phantom on its own grid."""
    order = CanonicalOrder.of(patient.ct.geometry)
    label = patient.masks.liver.astype(np.uint8) + (patient.masks.lesions > 0)
    hu, label = order.apply(patient.ct.array), order.apply(label)
    image, small = on_grid(hu, label, order.geometry(patient.ct.geometry).spacing_kji, scan)
    # Named as a real case, and beside it one whom this network never saw.
    for case in ("lits_004", *held_out):
        write_cached(folder / name, case, small, image, Known())
    local = "lesion" in scan.classes
    steps = 100 if local else 40
    shares, patch = ((0.7, 0.2, 0.1), [24, 24, 24]) if local else ((0.0, 0.5, 0.5), [24, 32, 32])
    config = RunConfig(
        run=str(folder / f"run_{name}"),
        data=DataConfig(cache=str(folder / name), workers=0, exclude=held_out),
        task=TaskConfig("scan", patch, *shares, phantom_share=0.0, filters=[8, 16, 16], deep_supervision=0),
        optimizer=OptimizerConfig(learning_rate=1e-2, warm_up=1, average=0.5, schedule="cosine"),
        trainer=TrainerConfig(steps=steps, steps_an_epoch=steps, accumulate=1, pictures=0),
        network=NetworkConfig("PlainUNet", options={"norm": "instance"}),
        scan=scan,
    )
    train(config)
    stage = "stage2" if local else "stage1"
    facts = {"license": "research", "sources": [{"name": name}, {"name": "both"}]}
    export_bundle(folder / f"bundle_{name}", name, {stage: folder / f"run_{name}"}, facts)
    return folder / f"bundle_{name}"


@pytest.fixture(scope="module")
def parts(patient, tmp_path_factory):
    folder = tmp_path_factory.mktemp("apart")
    return {
        "stage1": learned(patient, folder, "global", GLOBAL, ["ircad_05", "lits_014"]),
        "stage2": learned(patient, folder, "local", LOCAL, ["ircad_05"]),
    }


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_the_joined_model_finds_the_liver_by_the_one_and_the_lesions_by_the_other(patient, parts, tmp_path):
    join_bundles(tmp_path / "both", "both", {**parts, "couinaud": find_bundle().folder})
    case = segment(patient.ct, SegmentOptions(device="cpu", model=str(tmp_path / "both")))
    assert dice(case.masks.liver, patient.masks.liver) > 0.8
    assert len(case.lesions) >= 2
    assert dice(case.masks.lesions > 0, patient.masks.lesions > 0) > 0.6
    assert sum(s.volume_ml for s in case.segments) == pytest.approx(case.liver.volume_ml, rel=1e-6)
    assert {stage: case.provenance.weights_sha256[stage] for stage in parts} == {
        stage: read_bundle(part).sha256[stage] for stage, part in parts.items()
    }
    # Neither of the two does it alone.
    for part in parts.values():
        with pytest.raises(LiverSegError, match="no network for stage"):
            segment(patient.ct, SegmentOptions(device="cpu", model=str(part)))


def test_a_joined_card_tells_what_all_of_its_parts_tell(parts, tmp_path):
    join_bundles(tmp_path / "both", "both", parts)
    card = read_bundle(tmp_path / "both").card
    assert card["license"] == "research"
    assert [source["name"] for source in card["sources"]] == ["global", "both", "local"]
    # The local network says whom it learned from, and lits_014 is not among them.
    assert card["held_out"] == ["ircad_05", "lits_014"]
    assert [card["networks"][stage]["from"] for stage in parts] == ["global", "local"]


def test_the_script_joins_and_what_cannot_be_joined_is_one_clear_line(parts, tmp_path, monkeypatch, capsys):
    script = Path(__file__).resolve().parents[2] / "scripts" / "join_bundles.py"

    def join(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", [str(script), *map(str, words)])
        return int(runpy.run_path(str(script))["main"]())

    out = tmp_path / "joined"
    given = ["--out", out, "--name", "joined", "--stage1", parts["stage1"]]
    assert join(*given, "--stage2", parts["stage2"]) == 0
    assert set(read_bundle(out).networks) == {"stage1", "stage2"}
    assert join(*given, "--couinaud", parts["stage1"]) == 3
    assert "no network for couinaud" in capsys.readouterr().err
    assert join(*given, "--stage2", tmp_path / "nothing") != 0
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    with pytest.raises(InputRefused, match="one of the bundles"):
        join_bundles(parts["stage1"], "same", parts)
    (out / "stage2.safetensors").write_bytes(b"no")
    with pytest.raises(InputRefused, match="not the file that its card names"):
        join_bundles(tmp_path / "more", "more", {"stage2": out})
    assert json.loads((out / "card.json").read_text())["name"] == "joined"
