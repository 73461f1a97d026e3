"""The shell's door: exit codes, one clear line for bad input, nothing half written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from liverseg.cli import commands, main
from liverseg.cli.console import stop_asked
from liverseg.errors import UsageError
from liverseg.phantom import make_phantom, write_nifti
from liverseg.phantom_other import make_head_phantom, make_knee_phantom, water_box
from liverseg.reading import to_sitk


def write(array: np.ndarray, path: Path, spacing: tuple[float, ...] = (3.0, 3.0, 3.0)) -> Path:
    """Write an array (k, j, i) as an image."""
    image = sitk.GetImageFromArray(array, isVector=False)
    image.SetSpacing(spacing[: image.GetDimension()])
    sitk.WriteImage(image, str(path))
    return path


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(seed=77, shape_kji=(64, 96, 110), spacing_kji=(4.0, 3.6, 3.4))


@pytest.fixture(scope="module")
def patient(phantom, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("patient")
    write_nifti(phantom, folder)
    return folder


@pytest.fixture(scope="module")
def result(patient) -> Path:
    out = patient / "measured"
    assert main(["measure", str(patient / "ct.nii.gz"), "--masks", str(patient), "-o", str(out)]) == 0
    return out


def bad_inputs(folder: Path) -> dict[str, tuple[Path, str]]:
    """Bad files by name, and a word that the refusal must say."""
    rng = np.random.default_rng(0)
    text = folder / "text.nii.gz"
    text.write_text("not an image")
    (folder / "empty").mkdir()
    ct = make_phantom(seed=77, shape_kji=(30, 48, 55), spacing_kji=(8.0, 7.2, 6.8)).ct.array.astype(
        np.float32
    )
    bright = rng.gamma(2.0, 200.0, ct.shape) * (ct > -500)
    return {
        "missing": (folder / "missing.nii.gz", "missing.nii.gz"),
        "text": (text, "text.nii.gz"),
        "empty folder": (folder / "empty", "DICOM"),
        "2D": (write(ct[10], folder / "flat.nii.gz"), "2D"),
        "4D": (write(np.stack([ct, ct]), folder / "series.nii.gz", (3, 3, 3, 1)), "4D"),
        "all NaN": (write(np.full_like(ct, np.nan), folder / "nan.nii.gz"), "NaN"),
        "constant": (write(np.full_like(ct, 40), folder / "constant.nii.gz"), "40"),
        "0 to 1": (write((ct + 1024) / 3000, folder / "unit.nii.gz"), "Hounsfield"),
        "MR-like": (write(bright.astype(np.float32), folder / "mr.nii.gz"), "MR"),
    }


CASES = ["missing", "text", "empty folder", "2D", "4D", "all NaN", "constant", "0 to 1", "MR-like"]


@pytest.fixture(scope="module")
def bad(tmp_path_factory) -> dict[str, tuple[Path, str]]:
    return bad_inputs(tmp_path_factory.mktemp("bad"))


@pytest.mark.parametrize("kind", CASES)
def test_bad_input_gets_exit_3_one_line_and_no_output(kind, bad, tmp_path, capfd):
    path, word = bad[kind]
    out = tmp_path / "out"
    assert main(["segment", str(path), "-o", str(out)]) == 3
    told = capfd.readouterr()
    lines = [line for line in told.err.splitlines() if line.strip()]
    assert len(lines) == 1, told.err
    assert lines[0].startswith("liverseg: ")
    assert word.lower() in lines[0].lower()
    assert "Traceback" not in told.err
    assert not out.exists()


def test_zero_spacing_in_the_header_is_refused(tmp_path, capfd):
    path = write(np.zeros((20, 64, 64), np.int16), tmp_path / "zero.nii")
    raw = bytearray(path.read_bytes())
    raw[84:88] = np.float32(0).tobytes()
    path.write_bytes(raw)
    assert main(["check", str(path)]) == 3
    assert "spacing" in capfd.readouterr().err


@pytest.mark.parametrize("make", [make_head_phantom, make_knee_phantom, water_box])
def test_a_ct_without_a_liver_ends_in_4_with_valid_empty_outputs(make, tmp_path):
    volume = make()
    path = tmp_path / "ct.nii.gz"
    sitk.WriteImage(to_sitk(volume.array, volume.geometry), str(path))
    out = tmp_path / "out"
    assert main(["segment", str(path), "-o", str(out), "--device", "cpu"]) == 4
    report = json.loads((out / "report.json").read_text())
    assert report["liver"]["volume_ml"] == 0
    assert report["lesions"] == []
    assert any("no liver" in warning.lower() for warning in report["warnings"])
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(out / "liver.nii.gz"))).max() == 0


def test_wrong_options_end_in_2(patient, capsys):
    for arguments in (["segment"], ["no such command"], ["segment", "ct", "-o", "x", "--quality", "best"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
    out = patient / "a_file"
    out.write_text("")
    assert main(["segment", str(patient / "ct.nii.gz"), "-o", str(out)]) == 2
    assert main(["segment", str(patient / "ct.nii.gz"), "-o", str(patient / "x"), "--device", "mps"]) == 2
    assert "mps" in capsys.readouterr().err


def test_measure_gives_back_the_numbers_of_the_masks(result, phantom):
    report = json.loads((result / "report.json").read_text())
    truth_ml = phantom.masks.liver.sum() * phantom.ct.geometry.voxel_volume_ml
    assert report["liver"]["volume_ml"] == pytest.approx(truth_ml, rel=1e-3)
    assert len(report["lesions"]) == len(phantom.lesions)
    assert sum(s["volume_ml"] for s in report["segments"]) == pytest.approx(truth_ml, rel=1e-3)
    for name in (
        "lesions.csv",
        "measurements.csv",
        "couinaud.nii.gz",
        "segmentation.seg.nrrd",
        "preview.png",
    ):
        assert (result / name).stat().st_size > 0


def test_earlier_results_are_replaced_only_when_asked(patient, result, capsys):
    arguments = ["measure", str(patient / "ct.nii.gz"), "--masks", str(patient), "-o", str(result)]
    before = (result / "report.json").stat().st_mtime_ns
    assert main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (result / "report.json").stat().st_mtime_ns == before


def test_masks_without_segments_are_split_by_the_model(patient, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    (masks / "liver.nii.gz").write_bytes((patient / "liver.nii.gz").read_bytes())
    arguments = ["measure", str(patient / "ct.nii.gz"), "--masks", str(masks), "-o", str(tmp_path / "out")]
    assert main([*arguments, "--split-segment-4"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [s["name"] for s in report["segments"]][3:5] == ["IVa", "IVb"]
    assert report["method"]["name"] == "learned from shape"


def test_couinaud_splits_any_mask_and_refuses_an_empty_one(patient, tmp_path, capsys):
    out = tmp_path / "couinaud.nii.gz"
    assert main(["couinaud", str(patient / "liver.nii.gz"), "-o", str(out)]) == 0
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(out)))
    liver = sitk.GetArrayFromImage(sitk.ReadImage(str(patient / "liver.nii.gz")))
    assert np.array_equal(labels > 0, liver > 0)
    assert main(["couinaud", str(patient / "liver.nii.gz"), "-o", str(out)]) == 2
    empty = write(np.zeros((9, 9, 9), np.uint8), tmp_path / "empty.nii.gz")
    assert main(["couinaud", str(empty), "-o", str(tmp_path / "x.nii.gz")]) == 3
    assert not (tmp_path / "x.nii.gz").exists()


def test_flr_keeps_the_remnant_in_the_report(result, capsys):
    assert (
        main(["flr", str(result), "--resect", "V,VI,VII,VIII", "--height-cm", "170", "--weight-kg", "70"])
        == 0
    )
    report = json.loads((result / "report.json").read_text())
    kept = [s for s in report["segments"] if s["name"] in ("I", "II", "III", "IV")]
    remnant = report["remnant"]
    assert remnant["remnant_ml"] == pytest.approx(
        sum(s["volume_ml"] - s["lesion_ml"] for s in kept), rel=1e-4
    )
    assert remnant["standardized_liver_ml"] == pytest.approx(-794.41 + 1267.28 * (170 * 70 / 3600) ** 0.5)
    assert "Remnant" in capsys.readouterr().out
    assert main(["flr", str(result), "--resect", "IX"]) == 2
    assert main(["flr", str(result / "nowhere"), "--resect", "V"]) == 3


def test_check_and_models_tell_as_json(patient, capsys):
    assert main(["check", str(patient / "ct.nii.gz"), "--json"]) == 0
    assert "facts" in json.loads(capsys.readouterr().out)
    assert main(["devices", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[-1]["device"] == "cpu"
    assert main(["models", "--json"]) == 0
    models = json.loads(capsys.readouterr().out)
    assert models[0]["intact"] is True
    assert set(models[0]["networks"]) == {"stage1", "stage2", "couinaud"}


def test_json_progress_is_one_object_a_line_and_rises_to_one(patient, tmp_path, capsys):
    arguments = ["segment", str(patient / "ct.nii.gz"), "-o", str(tmp_path / "out"), "--device", "cpu"]
    assert main([*arguments, "--quality", "fast", "--tile", "half", "--json-progress"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    fractions = [e["fraction"] for e in events if e["event"] == "progress"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert events[-1]["event"] == "done"
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["provenance"]["parameters"]["tile"] == "half"


def test_termination_ends_a_run_in_130_with_nothing_written(patient, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "liverseg", "segment", str(patient / "ct.nii.gz"), "-o", str(out)]
    path = os.pathsep.join(
        [str(Path(__file__).parents[2] / "LiverSegExtension"), os.environ.get("PYTHONPATH", "")]
    )
    process = subprocess.Popen(
        [*command, "--device", "cpu", "--json-progress"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "window" in line:
            break
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    process.stdout.read()
    assert process.wait(timeout=60) == 130
    assert time.monotonic() - began < 30
    assert not out.exists() or not any(out.iterdir())


# --- names, stops and outputs -------------------------------------------------------------------------

LONG = "n" * 300


@pytest.mark.parametrize(
    "words",
    [
        *(["check", f"{LONG}.nii.gz"], ["series", LONG], ["validate", LONG], ["models", "--folder", LONG]),
        *(["compare", LONG, LONG, "-o", "out"], ["couinaud", "liver.nii.gz", "-o", f"{LONG}.nii.gz"]),
    ],
    ids=lambda words: words[0],
)
def test_a_name_longer_than_the_system_allows_is_one_plain_line(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # Newer Pythons take such a name for one that is not there.
    assert main(words) in (2, 3)
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "unexpected" not in said and "Errno" not in said


def test_a_folder_without_a_model_is_refused(tmp_path, capsys):
    assert main(["models", "--folder", str(tmp_path / "nowhere")]) == 3
    assert "is no folder" in capsys.readouterr().err
    assert main(["models", "--folder", str(tmp_path), "--json"]) == 3
    told = capsys.readouterr()
    assert json.loads(told.out) == []
    assert "no model in" in told.err and "card.json" in told.err


def press() -> None:
    """Ctrl+C."""
    os.kill(os.getpid(), signal.SIGINT)


def ran(monkeypatch: pytest.MonkeyPatch, work) -> int:
    """The exit code of a command that does this work."""
    monkeypatch.setitem(commands.COMMANDS, "devices", lambda parsed, listener: work(listener))
    # A suite in the background was told to ignore Ctrl+C.
    outer = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        before = signal.getsignal(signal.SIGINT), sys.unraisablehook
        code = main(["devices"])
        assert before == (signal.getsignal(signal.SIGINT), sys.unraisablehook), "a program's own come back"
        return code
    finally:
        signal.signal(signal.SIGINT, outer)


@pytest.mark.parametrize("error", [ImportError("numpy.core failed to import"), UsageError("pip install it")])
def test_an_interrupt_of_which_a_library_makes_another_error_is_a_cancel(error, monkeypatch, capsys):
    def work(listener) -> int:
        try:
            press()
        except KeyboardInterrupt:
            raise error from None
        return 0

    assert ran(monkeypatch, work) == 130
    assert capsys.readouterr().err == "liverseg: cancelled\n"
    assert stop_asked()


def test_an_interrupt_that_a_library_swallows_ends_the_work_at_its_next_word(monkeypatch, capsys):
    class Dropped:
        def __del__(self) -> None:
            press()

    def work(listener) -> int:
        Dropped()
        listener(0.5, "half")
        return 0

    assert ran(monkeypatch, work) == 130
    assert capsys.readouterr().err == "liverseg: cancelled\n"
    assert ran(monkeypatch, lambda listener: 0) == 0, "the next command knows nothing of it"


def test_a_second_press_does_not_interrupt_the_tidying_up(monkeypatch):
    tidy = []

    def work(listener) -> int:
        try:
            press()
        finally:
            press()
            tidy.append(True)
        return 0

    assert ran(monkeypatch, work) == 130
    assert tidy


def test_an_interrupt_during_the_imports_is_a_cancel(monkeypatch, capsys):
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("liverseg.cli.parser.build_parser", interrupted)
    assert main(["devices"]) == 130
    assert capsys.readouterr().err == "liverseg: cancelled\n"


def process_of(work: str, *words: str, **settings) -> subprocess.CompletedProcess[str]:
    """A process of its own whose command ``devices`` does this work; no library is loaded."""
    code = f"""
        import atexit, os, signal, sys, types
        signal.signal(signal.SIGINT, signal.default_int_handler)

        def press():
            os.kill(os.getpid(), signal.SIGINT)

        def work(parsed, listener):
            {work}
            return 0

        sys.modules["liverseg.cli.commands"] = types.SimpleNamespace(COMMANDS={{"devices": work}})
        from liverseg.cli import main
        sys.argv = ["liverseg", *{list(words)!r}]
        sys.exit(main())
    """
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "LiverSegExtension")}
    environment |= settings.pop("env", {})
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | settings
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], check=False, env=environment, **settings
    )


def test_further_presses_after_the_cancel_are_not_heard():
    ended = process_of("atexit.register(press); press()", "devices")
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "liverseg: cancelled\n")


SAID = {"plain": ["devices"], "json": ["devices", "--json-progress"], "help": ["--help"]}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("words", SAID.values(), ids=SAID)
def test_a_full_output_is_one_line_and_exit_2(words):
    with Path("/dev/full").open("w") as full:
        ended = process_of("listener.done('', ['cpu'])", *words, stdout=full)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "standard output cannot be written to" in ended.stderr


@pytest.mark.skipif(os.name == "nt", reason="no such descriptors")
@pytest.mark.parametrize("words", [SAID["plain"], SAID["json"]], ids=["plain", "json"])
def test_a_closed_output_is_refused_before_the_work(words):
    ended = process_of("print('worked', file=sys.stderr)", *words, preexec_fn=lambda: os.close(1))
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "standard output is closed" in ended.stderr


@pytest.mark.parametrize("words", [SAID["plain"], SAID["json"]], ids=["plain", "json"])
def test_when_the_reader_leaves_the_end_is_quiet(words):
    read, write = os.pipe()
    os.close(read)
    try:
        ended = process_of("listener.done('', ['cpu'])", *words, stdout=write)
    finally:
        os.close(write)
    assert (ended.returncode, ended.stderr) == (130, "")


def test_what_the_outputs_encoding_lacks_is_told_as_numbers():
    ended = process_of(r"listener.done('', ['\xfc'])", "devices", env={"PYTHONIOENCODING": "ascii"})
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "\\xfc\n", "")
