"""Many CTs: every case its folder, done ones are skipped, a bad one stops nobody, the exit code tells."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk

from dicom_files import write_series
from liverseg import batch, bundle
from liverseg.batch_inputs import RECORD, BatchInput, find_inputs
from liverseg.batch_summary import CaseRow, write_summary
from liverseg.cli import main
from liverseg.errors import Cancelled, InputRefused, UsageError
from liverseg.phantom import make_phantom, write_nifti
from liverseg.phantom_other import water_box
from liverseg.reading import read_volume, to_sitk
from made_batches import NAMES, Reader, summary, three_inputs, write_ct
from made_cases import make_case

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def inputs(tmp_path) -> list[BatchInput]:
    return three_inputs(tmp_path)


def test_every_case_gets_a_folder_and_a_row(inputs, tmp_path):
    said = []
    result = batch.run_batch(
        inputs, tmp_path / "out", Reader(), NAMES, progress=lambda f, m: said.append((f, m))
    )
    assert [row.status for row in result.rows] == ["done"] * 3
    rows = summary(tmp_path / "out")
    assert [row["case"] for row in rows] == ["a", "b", "c"]
    case = make_case()
    assert float(rows[0]["liver_ml"]) == pytest.approx(case.liver.volume_ml, abs=1e-3)
    assert int(rows[0]["lesions"]) == 2
    assert float(rows[0]["largest_lesion_mm"]) == pytest.approx(
        max(lesion.long_axis_mm for lesion in case.lesions), abs=1e-3
    )
    assert sorted(p.name for p in (tmp_path / "out" / "b").iterdir()) == [
        RECORD,
        "lesions.csv",
        "liver.nii.gz",
        "report.json",
    ]
    assert [round(fraction, 3) for fraction, _ in said] == [0.167, 0.5, 0.833]
    assert said[1][1] == "b (2 of 3): half"


@pytest.mark.parametrize("error", [InputRefused("Doe^Jane is 2D"), ValueError("a defect"), MemoryError()])
def test_a_bad_case_stops_nobody_and_says_why(inputs, tmp_path, error):
    result = batch.run_batch(inputs, tmp_path / "out", Reader(b=error), NAMES)
    assert [row.status for row in result.rows] == ["done", "failed", "done"]
    row = summary(tmp_path / "out")[1]
    assert row["status"] == "failed" and row["reason"] and not row["liver_ml"]
    assert not (tmp_path / "out" / "b").exists()


def test_a_restart_does_only_what_is_missing(inputs, tmp_path):
    batch.run_batch(inputs, tmp_path / "out", Reader(b=InputRefused("no")), NAMES)
    again = Reader()
    result = batch.run_batch(inputs, tmp_path / "out", again, NAMES)
    assert again.seen == ["b"]
    assert result.skipped == 2
    assert [row["status"] for row in summary(tmp_path / "out")] == ["done"] * 3
    everything = Reader()
    batch.run_batch(inputs, tmp_path / "out", everything, NAMES, overwrite=True)
    assert everything.seen == ["a", "b", "c"]


def test_what_is_asked_for_later_and_not_there_is_told(inputs, tmp_path, caplog):
    batch.run_batch(inputs, tmp_path / "out", Reader(), NAMES)
    batch.run_batch(inputs, tmp_path / "out", Reader(), [*NAMES, "pdf", "vessels"])
    (warning,) = caplog.messages
    assert warning == "3 of the cases done before have no report.pdf; --overwrite does them again"


def test_a_damaged_report_counts_as_not_done(inputs, tmp_path):
    batch.run_batch(inputs, tmp_path / "out", Reader(), NAMES)
    (tmp_path / "out" / "a" / "report.json").write_text('{"schema_version": "1.0"}')
    again = Reader()
    batch.run_batch(inputs, tmp_path / "out", again, NAMES)
    assert again.seen == ["a"]


def test_a_cancel_keeps_what_is_done_and_leaves_nothing_half(inputs, tmp_path):
    with pytest.raises(Cancelled):
        batch.run_batch(inputs, tmp_path / "out", Reader(b=Cancelled("stop")), NAMES)
    assert [row["status"] for row in summary(tmp_path / "out")] == ["done", "pending", "pending"]
    assert not (tmp_path / "out" / "b").exists()


def test_a_case_that_ended_the_process_is_tried_last(inputs, tmp_path):
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / batch.UNDER_WORK).touch()
    reader = Reader()
    batch.run_batch(inputs, tmp_path / "out", reader, NAMES)
    assert reader.seen == ["b", "c", "a"]
    assert not (tmp_path / "out" / "a" / batch.UNDER_WORK).exists()


def test_the_log_names_nobody(inputs, tmp_path):
    batch.run_batch(inputs, tmp_path / "out", Reader(b=InputRefused("Doe^Jane_b.nii.gz is 2D")), NAMES)
    text = (tmp_path / "out" / "batch.log").read_text(encoding="utf-8")
    assert "case 2: failed" in text and "case 3: done" in text
    assert "Doe" not in text and "nii" not in text


def test_a_folder_gives_its_images_and_dicom_folders_but_no_label_maps(tmp_path):
    for name in (
        "one.nii.gz",
        "sub/ct.nrrd",
        "sub/liver.nii.gz",
        "sub/x.seg.nrrd",
        "sub/notes.txt",
        ".h.nii",
    ):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    dicom = tmp_path / "in" / "p 1" / "IM0"
    dicom.parent.mkdir()
    dicom.write_bytes(bytes(128) + b"DICM")
    found = find_inputs(tmp_path / "in")
    assert [(each.name, each.path.relative_to(tmp_path / "in").as_posix()) for each in found] == [
        ("one", "one.nii.gz"),
        ("p_1", "p 1"),
        ("sub", "sub/ct.nrrd"),
    ]


def test_a_list_and_a_table_name_cases_beside_themselves(tmp_path):
    (tmp_path / "cases.txt").write_text("# CTs\na/ct.nii.gz\n\nb/ct.nii.gz\n")
    assert [(e.name, e.path) for e in find_inputs(tmp_path / "cases.txt")] == [
        ("a", tmp_path / "a/ct.nii.gz"),
        ("b", tmp_path / "b/ct.nii.gz"),
    ]
    (tmp_path / "cases.csv").write_text("name,CT,series\nfirst one,a,1.2.3\n,b.nrrd,\n")
    assert find_inputs(tmp_path / "cases.csv") == [
        BatchInput("first_one", tmp_path / "a", "1.2.3"),
        BatchInput("b", tmp_path / "b.nrrd"),
    ]


@pytest.mark.parametrize(
    ("name", "text"), [("x.csv", "who,where\na,b\n"), ("x.txt", "# no\n"), ("x.doc", "")]
)
def test_a_source_without_cts_is_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputRefused):
        find_inputs(tmp_path / name)


def test_a_summary_row_of_an_unknown_case_has_empty_cells(tmp_path):
    write_summary([CaseRow("a", "a.nii.gz")], tmp_path / "summary.csv")
    row = summary(tmp_path)[0]
    assert row["status"] == "pending" and row["lesions"] == ""


def test_a_path_that_is_no_text_does_not_end_the_batch(tmp_path):
    write_summary([CaseRow("a", os.fsdecode(b"M\xfcller.nii.gz"))], tmp_path / "summary.csv")
    assert summary(tmp_path)[0]["input"].endswith("ller.nii.gz")


# --- what a batch leaves alone, and what it tells -----------------------------------------------------


def test_results_never_go_to_where_a_ct_lies(tmp_path, capsys):
    data = tmp_path / "data"
    write_ct(data / "pat1" / "ct.nii.gz", 1)
    (data / "pat1" / "liver.nii.gz").write_bytes(b"drawn by hand")
    write_series(data / "pat2")
    before = sorted(tmp_path.rglob("*"))
    assert main(["batch", str(data), "-o", str(data)]) == 2
    assert "choose another output folder" in capsys.readouterr().err
    reader = Reader()
    for person in ("pat1", "pat2"):
        with pytest.raises(UsageError, match=f"{person}.* lies; choose"):
            batch.run_batch([BatchInput("x", tmp_path), BatchInput(person, data / person)], data, reader)
    assert sorted(tmp_path.rglob("*")) == before and not reader.seen
    assert (data / "pat1" / "liver.nii.gz").read_bytes() == b"drawn by hand"


def test_a_table_is_never_replaced_by_the_summary(tmp_path, capsys):
    (tmp_path / "summary.csv").write_text("ct\na.nii.gz\n")
    assert main(["batch", str(tmp_path / "summary.csv"), "-o", str(tmp_path)]) == 2
    assert "name a copy of it" in capsys.readouterr().err
    assert (tmp_path / "summary.csv").read_text() == "ct\na.nii.gz\n"


@pytest.mark.parametrize(
    ("command", "module"),
    [
        (["batch", "nowhere", "--also", "scene"], "slicer"),
        (["batch", "nowhere", "--also", "pdf"], "reportlab"),
        (["segment", "nowhere", "--scene"], "slicer"),
    ],
)
def test_a_missing_package_is_told_before_any_ct_is_looked_for(
    tmp_path, monkeypatch, capsys, command, module
):
    monkeypatch.setattr("liverseg.writers.find_spec", lambda name: None if name == module else object())
    assert main([*command, "-o", str(tmp_path / "out")]) == 2
    assert f"({module} is not installed)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_no_file_of_a_batch_holds_the_free_text_of_dicom_headers(tmp_path, capsys):
    folder = tmp_path / "in"
    write_series(folder / "two" / "1", "1.2.3.1", description="DOE JANE 1950")
    write_series(folder / "two" / "2", "1.2.3.2", description='DOE "JANE" thin')
    write_series(folder / "mr", "1.2.3.3", description="DOE JANE 1950", modality="MR")
    write_series(folder / "one_place", "1.2.3.4", [(0, 0, 0)] * 3, description="DOE JANE 1950")
    (tmp_path / "cases.csv").write_text(
        "ct,series\nin/two,\nin/two,9.9\nin/mr,\nin/mr,1.2.3.3\nin/one_place,\n"
    )
    assert main(["batch", str(tmp_path / "cases.csv"), "-o", str(tmp_path / "out")]) == 6
    reasons = [row["reason"] for row in summary(tmp_path / "out")]
    assert "CT, 7 slices, 0.7 x 0.8 x 2.5 mm, uid 1.2.3.1" in reasons[0]
    assert all("series" in reason and "uid" in reason for reason in reasons)
    kept = [path.read_text(encoding="utf-8") for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(kept) == 2 and not any("DOE" in text for text in kept)
    with pytest.raises(InputRefused, match="DOE JANE 1950"):
        read_volume(folder / "two")


def test_a_quiet_batch_says_nothing_of_its_steps_and_a_verbose_one_tells_defects_too(
    inputs, tmp_path, capsys
):
    heard = logging.StreamHandler()
    logger = logging.getLogger("liverseg")
    logger.addHandler(heard)
    try:
        for level, words in ((logging.WARNING, False), (logging.DEBUG, True)):
            logger.setLevel(level)
            batch.run_batch(inputs, tmp_path / str(level), Reader(b=ValueError("a defect")), NAMES)
            said = capsys.readouterr().err
            assert ("Traceback" in said, "case 2: failed" in said) == (words, words)
            text = (tmp_path / str(level) / "batch.log").read_text(encoding="utf-8")
            assert "case 2: failed" in text and "Traceback" not in text
    finally:
        logger.removeHandler(heard)
        logger.setLevel(logging.NOTSET)


def test_a_name_that_is_too_long_for_the_disk_fails_alone(inputs, tmp_path):
    long = BatchInput("п" * 150, tmp_path / "x.nii.gz")
    result = batch.run_batch([inputs[0], long, inputs[1]], tmp_path / "out", Reader(), NAMES)
    assert [row.status for row in result.rows] == ["done", "failed", "done"]


def test_a_log_that_cannot_be_written_is_one_clear_line(inputs, tmp_path):
    (tmp_path / "out" / "batch.log").mkdir(parents=True)
    with pytest.raises(UsageError, match="choose another output folder"):
        batch.run_batch(inputs, tmp_path / "out", Reader(), NAMES)


# --- with the networks --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cts(tmp_path_factory) -> Path:
    """Two small made-up patients, a box of water, and a file that is no image."""
    folder = tmp_path_factory.mktemp("cts")
    for seed in (2001, 2002):
        phantom = make_phantom(seed=seed, shape_kji=(44, 66, 70), spacing_kji=(6.0, 5.2, 5.0))
        (folder / f"patient_{seed}").mkdir()
        write_nifti(phantom, folder / f"patient_{seed}")
    water = water_box()
    sitk.WriteImage(to_sitk(water.array, water.geometry), str(folder / "water.nrrd"))
    (folder / "broken.nii.gz").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    """The bundled weights on a coarse grid of stage 2: the same road in a fraction of the time."""
    folder = tmp_path_factory.mktemp("model") / "coarse"
    shutil.copytree(bundle.find_bundle().folder, folder)
    card = json.loads((folder / "card.json").read_text())
    card["networks"]["stage2"]["spacing_mm"] = 6.0
    (folder / "card.json").write_text(json.dumps(card))
    return str(folder)


def test_the_shells_batch_loads_each_network_once_and_its_exit_code_tells_of_failures(
    cts, model, tmp_path, monkeypatch
):
    loaded = []
    true = bundle._load_network
    monkeypatch.setattr(bundle, "_load_network", lambda b, stage: loaded.append(stage) or true(b, stage))
    arguments = ["batch", str(cts), "-o", str(tmp_path / "out"), "--device", "cpu", "--quality", "fast"]
    arguments += ["--model", model, "--couinaud-method", "landmarks"]
    assert main(arguments) == 6
    assert sorted(loaded) == ["couinaud", "stage1", "stage2"]
    rows = {row["case"]: row for row in summary(tmp_path / "out")}
    assert {name: row["status"] for name, row in rows.items()} == {
        "broken": "failed",
        "patient_2001": "done",
        "patient_2002": "done",
        "water": "no liver",
    }
    report = json.loads((tmp_path / "out" / "patient_2001" / "report.json").read_text())
    assert report["liver"]["volume_ml"] > 500
    assert report["method"]["name"] == "planes from landmarks"
    before = (tmp_path / "out" / "patient_2001" / "report.json").stat().st_mtime_ns
    (cts / "broken.nii.gz").unlink()
    assert main(arguments) == 0
    assert (tmp_path / "out" / "patient_2001" / "report.json").stat().st_mtime_ns == before
    (cts / "broken.nii.gz").write_text("no image")


def test_outside_of_the_block_a_network_is_loaded_anew_each_time():
    found = bundle.find_bundle()
    with bundle.networks_kept():
        one = bundle.load_network(found, "couinaud")
        assert bundle.load_network(found, "couinaud") is one
    assert bundle.load_network(found, "couinaud") is not one


def run_script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "scripts" / name), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_the_script_for_one_ct_in_slicer_runs_on_slicer_core_too(cts, model, tmp_path):
    pytest.importorskip("slicer", reason="slicer-core is not installed (pip install 'liverseg[mrml]')")
    ct = cts / "patient_2001" / "ct.nii.gz"
    out = tmp_path / "out"
    options = ("--device", "cpu", "--quality", "fast", "--model", model)
    done = run_script("segment_in_slicer.py", "--input", str(ct), "--output", str(out), *options)
    assert done.returncode == 0, done.stderr
    assert (out / "scene.mrb").is_file() and (out / "report.json").is_file()
    refused = run_script("segment_in_slicer.py", "--input", str(cts / "none.nii"), "--output", str(out / "x"))
    assert refused.returncode == 3
    assert "does not exist" in refused.stderr
    assert run_script("segment_in_slicer.py", "--input", str(ct)).returncode == 2


def test_the_script_for_many_cts_in_slicer_runs_on_slicer_core_too(cts, model, tmp_path):
    pytest.importorskip("slicer", reason="slicer-core is not installed (pip install 'liverseg[mrml]')")
    (tmp_path / "list.txt").write_text(f"{cts}/patient_2002/ct.nii.gz\n{cts}/broken.nii.gz\n")
    out = tmp_path / "out"
    ended = run_script(
        *("batch_in_slicer.py", "--input", str(tmp_path / "list.txt"), "--output", str(out)),
        *("--device", "cpu", "--quality", "fast", "--model", model),
    )
    assert ended.returncode == 6, ended.stderr
    assert [row["status"] for row in summary(out)] == ["done", "failed"]
    assert (out / "patient_2002" / "scene.mrb").is_file()
