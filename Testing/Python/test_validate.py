"""liverseg validate: exit 0 for a valid report, 3 with each place and reason for another."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from liverseg.cli import main
from liverseg.cli.validate import violations
from liverseg.writers import write_case
from liverseg.writers.report_json import SCHEMA_VERSION, report_of
from writer_cases import empty_case, make_case

SCHEMA = Path(__file__).parents[2] / "Resources" / "Schemas" / "report.schema.json"


def spoiled(tmp_path: Path, change) -> Path:
    report = json.loads(json.dumps(report_of(make_case())))
    change(report)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report), encoding="utf-8")
    return path


@pytest.mark.parametrize("case", [make_case(), make_case(split=True), empty_case()])
def test_what_liverseg_writes_is_valid_by_file_and_by_folder(tmp_path: Path, capsys, case) -> None:
    path = write_case(case, tmp_path, ["report"])["report"]
    assert main(["validate", str(path)]) == 0
    assert main(["validate", str(tmp_path)]) == 0
    assert "is a valid LiverSeg report" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "place", "reason"),
    [
        (lambda r: r["lesions"][1].update(long_axis_mm=-1), "lesions[1].long_axis_mm", "minimum"),
        (lambda r: r.pop("liver"), "the report", "'liver' is a required property"),
        (lambda r: r.update(remnant={"resected": ["IX"]}), "remnant", ""),
        (
            lambda r: r["segments"][0].update(volume_ml="much"),
            "segments[0].volume_ml",
            "'much' is not of type",
        ),
        (lambda r: r["lesions"][0]["review"].update(state="maybe"), "lesions[0].review.state", "'maybe'"),
        (lambda r: r.update(schema_version="2.0"), "schema_version", "'2.0' is not one of"),
        (lambda r: r["provenance"].update(started=None), "provenance.started", "is not of type 'string'"),
    ],
)
def test_each_violation_is_told_with_its_place(
    tmp_path: Path, capsys, change, place: str, reason: str
) -> None:
    assert main(["validate", str(spoiled(tmp_path, change))]) == 3
    told = capsys.readouterr()
    line = next(line for line in told.out.splitlines() if line.startswith(place))
    assert reason in line
    assert "does not follow the schema" in told.err
    assert len(told.err.strip().splitlines()) == 1


def test_all_violations_are_told_at_once() -> None:
    report = json.loads(json.dumps(report_of(make_case())))
    report["liver"]["volume_ml"] = -1
    report["lesions"][0]["id"] = 0
    del report["hints"]
    assert [line.split(":")[0] for line in violations(report)] == [
        "the report",
        "lesions[0].id",
        "liver.volume_ml",
    ]


@pytest.mark.parametrize("text", ["", "{", '{"liver": NaN}', "\udcff"])
def test_what_is_no_json_is_refused(tmp_path: Path, capsys, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert main(["validate", str(path)]) == 3
    assert "cannot be read as JSON" in capsys.readouterr().err
    assert main(["validate", str(tmp_path / "nowhere.json")]) == 3
    assert "is not there" in capsys.readouterr().err


def test_a_report_that_may_not_be_read_is_told_so(tmp_path: Path, capsys, monkeypatch) -> None:
    def closed(self: Path, **options: object) -> str:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_text", closed)
    assert main(["validate", str(tmp_path / "report.json")]) == 3
    assert "cannot be opened: permission to read is missing" in capsys.readouterr().err


def test_without_jsonschema_there_is_one_clear_line(tmp_path: Path, capsys, monkeypatch) -> None:
    path = write_case(make_case(), tmp_path, ["report"])["report"]
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    assert main(["validate", str(path)]) == 2
    assert "pip install 'liverseg[report]'" in capsys.readouterr().err


def test_the_schema_names_every_field_and_its_version() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert SCHEMA_VERSION in schema["properties"]["schema_version"]["enum"]
    assert schema["$id"].endswith("report.schema.json")
    report = json.loads(json.dumps(report_of(make_case())))
    # Closed everywhere that a field could be added in silence.
    for place in ("liver", "method"):
        report[place]["extra"] = 1
        assert violations(report)
        del report[place]["extra"]
    report["lesions"][0]["extra"] = 1
    assert any("extra" in line for line in violations(report))


def test_reports_of_the_first_version_stay_valid() -> None:
    report = json.loads(json.dumps(report_of(make_case())))
    report["schema_version"] = "1.0"
    for lesion in report["lesions"]:
        lesion["review"].pop("comment")
    assert violations(report) == []
