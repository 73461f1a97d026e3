"""The Slicer module's parts that need no Slicer: command, messages, run folder, end of a process tree."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from liverseg import cli
from liverseg.case import Provenance
from liverseg.errors import InputRefused
from liverseg.writers import write_case
from made_cases import make_case

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "LiverSegModule"))

from LiverSegModuleLib.EngineCommand import (  # noqa: E402
    COUINAUD_METHODS,
    EngineOptions,
    build_arguments,
    build_batch_arguments,
    child_environment,
)
from LiverSegModuleLib.EngineLog import EngineLog  # noqa: E402
from LiverSegModuleLib.EngineMessages import (  # noqa: E402
    Done,
    Failed,
    LineBuffer,
    PlainText,
    Progress,
    RunOutcome,
    RunState,
    Warned,
    outcome_of,
    parse_progress_line,
)
from LiverSegModuleLib.EnginePath import add_engine_to_path, packages_folder  # noqa: E402
from LiverSegModuleLib.ProcessTree import kill_process_tree  # noqa: E402
from LiverSegModuleLib.RunFolder import RunFolder, provenance_of, read_case, write_ct  # noqa: E402

# --- the command --------------------------------------------------------------------------------------


def test_the_command_runs_segment_with_json_lines() -> None:
    arguments = build_arguments(
        Path("/t/ct.nrrd"), Path("/t/out"), EngineOptions(device="cpu", quality="fast")
    )
    assert arguments == [
        *("-m", "liverseg", "segment", "/t/ct.nrrd", "-o", "/t/out"),
        *("--device", "cpu", "--quality", "fast", "--json-progress"),
    ]


@pytest.mark.parametrize("device", ["auto", "cuda", "mps", "cpu"])
@pytest.mark.parametrize("quality", ["full", "fast"])
def test_the_engine_understands_every_command_that_is_built(device: str, quality: str) -> None:
    options = EngineOptions(device, quality, split_segment_4=True, force=True)
    arguments = build_arguments(Path("ct.nrrd"), Path("out"), options)
    assert arguments[:2] == ["-m", "liverseg"]
    parsed = cli.parser.build_parser().parse_args(arguments[2:])
    assert (parsed.device, parsed.quality, parsed.split_segment_4, parsed.force) == (
        device,
        quality,
        True,
        True,
    )
    assert parsed.json_progress
    assert (parsed.ct, parsed.out) == (Path("ct.nrrd"), Path("out"))


def test_gray_values_that_are_no_hu_are_taken_only_when_asked() -> None:
    assert "--force" not in build_arguments(Path("a"), Path("b"), EngineOptions())
    assert "--force" in build_arguments(Path("a"), Path("b"), EngineOptions(force=True))


@pytest.mark.parametrize("method", COUINAUD_METHODS)
def test_the_engine_understands_every_way_to_split_the_liver(method: str) -> None:
    options = EngineOptions(couinaud_method=method)
    for build in (build_arguments, build_batch_arguments):
        parsed = cli.parser.build_parser().parse_args(build(Path("in"), Path("out"), options)[2:])
        assert (parsed.couinaud_method or "shape") == method


@pytest.mark.parametrize(
    "options",
    [
        EngineOptions(device="tpu"),
        EngineOptions(quality="best"),
        EngineOptions(tile="third"),
        EngineOptions(couinaud_method="tarot"),
    ],
)
def test_an_option_the_engine_does_not_know_starts_nothing(options: EngineOptions) -> None:
    valid, reason = options.is_valid()
    assert not valid
    assert "use one of" in reason
    with pytest.raises(ValueError, match="not known"):
        build_arguments(Path("a"), Path("b"), options)


def test_the_child_finds_the_engine_first() -> None:
    alone = child_environment(Path("/engine"), {})
    assert alone["PYTHONPATH"] == str(Path("/engine"))
    beside = child_environment(Path("/engine"), {"PYTHONPATH": "/other", "PATH": "/bin"})
    assert beside["PYTHONPATH"] == os.pathsep.join([str(Path("/engine")), "/other"])
    assert "PATH" not in beside
    assert beside["PYTHONUNBUFFERED"] == "1"


# --- where the engine is ------------------------------------------------------------------------------


def test_the_packages_are_found_in_the_source_tree_and_beside_the_installed_module(tmp_path: Path) -> None:
    assert packages_folder(ROOT / "LiverSegModule") == ROOT / "LiverSegExtension"
    (tmp_path / "liverseg").mkdir()
    (tmp_path / "liverseg" / "__init__.py").touch()
    assert packages_folder(tmp_path) == tmp_path


def test_packages_that_are_nowhere_are_told_of(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="install LiverSeg again"):
        packages_folder(tmp_path / "LiverSegModule")


def test_the_path_is_extended_only_when_the_engine_cannot_be_imported(tmp_path: Path) -> None:
    path: list[str] = []
    add_engine_to_path(ROOT / "LiverSegModule", path)
    assert path == []
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1] + '/LiverSegModule')\n"
        "from LiverSegModuleLib.EnginePath import add_engine_to_path\n"
        "add_engine_to_path(Path(sys.argv[1]) / 'LiverSegModule', sys.path)\n"
        "import liverseg; print(liverseg.__file__)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    answer = subprocess.run(
        [sys.executable, "-c", code, str(ROOT)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(answer.stdout.strip()) == ROOT / "LiverSegExtension" / "liverseg" / "__init__.py"


# --- what the engine says -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"event": "progress", "fraction": 0.42, "message": "lesions"}', Progress(0.42, "lesions")),
        ('{"event": "progress", "fraction": 7, "message": ""}', Progress(1.0, "")),
        ('{"event": "warning", "message": "slices of 6 mm"}', Warned("slices of 6 mm")),
        ('{"event": "done", "output": "/t/out", "summary": []}', Done("/t/out")),
        ('{"event": "error", "message": "2D image", "exit_code": 3}', Failed("2D image", 3)),
        ('  {"event": "error", "message": "why"}\r', Failed("why", 1)),
        ("UserWarning: something", PlainText("UserWarning: something")),
        ("42", PlainText("42")),
        ('{"event": "unheard of"}', PlainText('{"event": "unheard of"}')),
        ('{"event": "progress", "fraction": "half"}', PlainText('{"event": "progress", "fraction": "half"}')),
        ('{"event": "progress", "fraction": NaN}', PlainText('{"event": "progress", "fraction": NaN}')),
        ('{"event": "progress", "fra', PlainText('{"event": "progress", "fra')),
    ],
)
def test_a_line_becomes_a_message(line: str, message: object) -> None:
    assert parse_progress_line(line) == message


def test_the_engines_own_lines_are_understood(capsys: pytest.CaptureFixture[str]) -> None:
    lines = cli.console.JsonLines()
    lines(0.25, "stage 1")
    lines.warning("cut off: Überlauf")
    lines.done("/t/out", ["Lesion 1: 23 mm, segment IVa"])
    lines.failed("no CT", 3)
    messages = [parse_progress_line(line) for line in capsys.readouterr().out.splitlines()]
    assert messages == [
        Progress(0.25, "stage 1"),
        Warned("cut off: Überlauf"),
        Done("/t/out", ("Lesion 1: 23 mm, segment IVa",)),
        Failed("no CT", 3),
    ]


def test_lines_are_whole_however_the_pipe_cuts_them() -> None:
    stream = "erste Zeile: ü\r\n\nsecond\nlast without an end".encode()
    for size in (1, 2, 3, 7, len(stream)):
        buffer = LineBuffer()
        lines = []
        for start in range(0, len(stream), size):
            lines += buffer.feed(stream[start : start + size])
        assert lines == ["erste Zeile: ü", "second"], size
        assert buffer.feed(b"", final=True) == ["last without an end"]
        assert buffer.feed(b"", final=True) == []


NO_CT = Failed("a head is no liver", 3)


@pytest.mark.parametrize(
    ("exit_code", "crashed", "cancelled", "messages", "outcome"),
    [
        (0, False, False, [Done("out")], RunOutcome(RunState.DONE)),
        (4, False, False, [], RunOutcome(RunState.NO_LIVER, "no liver was found in this volume")),
        (3, False, False, [Progress(0, ""), NO_CT], RunOutcome(RunState.FAILED, "a head is no liver")),
        (5, False, False, [Failed("out of memory", 5)], RunOutcome(RunState.FAILED, "out of memory")),
        (130, False, False, [Failed("cancelled", 130)], RunOutcome(RunState.CANCELLED)),
        (9, True, True, [NO_CT], RunOutcome(RunState.CANCELLED)),
        (0, True, False, [], RunOutcome(RunState.FAILED, "the engine ended unexpectedly")),
        (
            11,
            True,
            False,
            [PlainText(f"line {n}") for n in range(5)],
            RunOutcome(
                RunState.FAILED, "the engine ended unexpectedly (signal 11, SIGSEGV): line 2\nline 3\nline 4"
            ),
        ),
        (
            0xC0000005,
            True,
            False,
            [],
            RunOutcome(RunState.FAILED, "the engine ended unexpectedly (exit code 0xc0000005)"),
        ),
        (
            1,
            False,
            False,
            [PlainText("Traceback"), PlainText("ImportError: no monai")],
            RunOutcome(RunState.FAILED, "the engine ended with exit code 1: ImportError: no monai"),
        ),
    ],
)
def test_a_finished_run_is_judged(
    exit_code: int, crashed: bool, cancelled: bool, messages: list, outcome: RunOutcome
) -> None:
    assert outcome_of(exit_code, crashed, cancelled, messages) == outcome


@pytest.mark.parametrize(
    ("exit_code", "crashed", "last"),
    [
        (9, True, "lesions"),
        (137, False, "Killed"),
        (1, False, "error: [/Slicer/bin/python-real] exit abnormally - Report the problem."),
    ],
)
def test_a_killed_process_hints_at_memory_and_keeps_its_last_words(
    exit_code: int, crashed: bool, last: str
) -> None:
    outcome = outcome_of(exit_code, crashed, False, [Progress(0.4, "stage 2"), PlainText(last)])
    assert outcome.state == RunState.FAILED
    assert "runs out of memory" in outcome.reason
    assert outcome.reason.endswith(last)
    assert "memory" not in outcome_of(1, False, False, [PlainText("ImportError: no monai")]).reason


def test_the_log_is_kept_in_a_file_that_does_not_grow_forever(tmp_path: Path) -> None:
    log = EngineLog(tmp_path)
    assert log.lines() == []
    log.add("one: über")
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600 or os.name == "nt"
    EngineLog(tmp_path).add("two")
    assert [line[20:] for line in log.lines()] == ["one: über", "two"]
    log.path.write_bytes(b"x" * 99 + b"\n" + log.path.read_bytes() * 100_000)
    kept = EngineLog(tmp_path).lines()
    assert log.path.stat().st_size < 600_000
    assert {line[20:] for line in kept} == {"one: über", "two"}


def test_a_folder_that_cannot_be_written_to_disturbs_nothing(tmp_path: Path) -> None:
    log = EngineLog(tmp_path / "gone")
    log.add("one")
    assert log.lines() == []


def test_an_empty_liver_is_a_result_and_a_failure_is_none() -> None:
    have = [RunOutcome(state).has_results for state in RunState]
    assert have == [True, True, False, False, False]


# --- the files of a run -------------------------------------------------------------------------------


def test_the_folder_of_a_run_is_private_and_goes_away(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path)
    assert run.path.parent == tmp_path
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o700 or os.name == "nt"
    assert not run.output.exists()
    run.output.mkdir()
    run.ct.write_text("voxels")
    run.remove()
    assert list(tmp_path.iterdir()) == []
    run.remove()


def test_a_case_comes_back_from_its_folder_with_the_same_numbers(tmp_path: Path) -> None:
    angle = np.deg2rad(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    case = make_case(permutation=(1, 2, 0), flips=(True, False, True), rotation=turn)
    run = RunFolder.create(tmp_path)
    write_ct(run, case.ct)
    write_case(case, run.output, names=("liver", "couinaud", "lesions", "report"))

    read = read_case(run)

    assert read.ct.geometry.matches(case.ct.geometry)
    assert np.array_equal(read.ct.array, case.ct.array)
    for name in ("liver", "couinaud", "lesions"):
        assert np.array_equal(getattr(read.masks, name), getattr(case.masks, name)), name
    assert read.liver == case.liver
    assert read.segments == case.segments
    assert [lesion.id for lesion in read.lesions] == [1, 2]
    for again, first in zip(read.lesions, case.lesions, strict=True):
        assert again.tracking_uid == first.tracking_uid
        assert again.review == first.review
        assert again.volume_ml == pytest.approx(first.volume_ml)
        assert again.long_axis_mm == pytest.approx(first.long_axis_mm, abs=1e-3)
        assert again.primary_segment == first.primary_segment
    assert read.method == case.method
    assert read.provenance.version == case.provenance.version
    assert set(case.warnings) <= set(read.warnings)


def test_an_engine_that_left_no_report_is_told_of(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path)
    run.output.mkdir()
    with pytest.raises(InputRefused, match=r"report\.json"):
        read_case(run)


def test_provenance_is_what_the_report_tells() -> None:
    report = {"provenance": {"extension": "LiverSeg", "version": "9.9", "device": "cpu", "not yet known": 1}}
    assert provenance_of(report) == Provenance(version="9.9", device="cpu")
    assert provenance_of({}) == Provenance(version="unknown")


# --- the process --------------------------------------------------------------------------------------


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_whole_process_tree_ends_at_once() -> None:
    # As with PythonSlicer, the process that was started only starts the one that computes.
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\n"
        "print(child.pid, flush=True)\n"
        "child.wait()"
    )
    launcher = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    grandchild = int(launcher.stdout.readline())
    assert alive(launcher.pid)
    assert alive(grandchild)
    began = time.monotonic()
    kill_process_tree(launcher.pid)
    assert launcher.wait(2) != 0
    while alive(grandchild):
        assert time.monotonic() - began < 2
        time.sleep(0.02)
    launcher.stdout.close()
    kill_process_tree(launcher.pid)


def test_json_lines_of_the_real_engine_say_why_an_input_is_refused(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path)
    packages = packages_folder(ROOT / "LiverSegModule")
    answer = subprocess.run(
        [sys.executable, *build_arguments(tmp_path / "gone.nrrd", run.output, EngineOptions(device="cpu"))],
        env=os.environ | child_environment(packages, os.environ),
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=120,
    )
    messages = [parse_progress_line(line) for line in LineBuffer().feed(answer.stdout, final=True)]
    outcome = outcome_of(answer.returncode, False, False, messages)
    assert answer.returncode == 3
    assert outcome.state == RunState.FAILED
    assert "gone.nrrd" in outcome.reason
    assert not run.output.exists()


def test_the_report_field_names_are_those_that_are_read(tmp_path: Path) -> None:
    write_case(make_case(), tmp_path, names=("report",))
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert provenance_of(report) != Provenance(version="unknown")
    assert isinstance(report["warnings"], list)
