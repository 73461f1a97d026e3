"""report.json: valid by its schema, with the fields of the contract, and never a NaN."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from liverseg.case import Case, Remnant
from liverseg.volume import Source
from liverseg.writers import write_case
from liverseg.writers.report_json import report_of
from writer_cases import empty_case, make_case

SCHEMA = Path(__file__).parents[2] / "Resources" / "Schemas" / "report.schema.json"


@pytest.fixture(scope="module")
def schema() -> dict:
    return json.loads(SCHEMA.read_text(encoding="utf-8"))


@pytest.fixture
def validator(schema: dict) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema)


def remnant_case() -> Case:
    return replace(make_case(), remnant=Remnant(("V", "VIII"), 700.0, 48.2, 1400.0, 50.0))


def test_the_schema_is_valid_by_its_own_draft(schema: dict) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    "case", [make_case(), make_case(split=True, vessels=False), empty_case(), remnant_case()]
)
def test_written_reports_are_valid(
    tmp_path: Path, validator: jsonschema.Draft202012Validator, case: Case
) -> None:
    path = write_case(case, tmp_path, ["report"])["report"]
    validator.validate(json.loads(path.read_text(encoding="utf-8")))


def test_the_report_has_the_fields_of_the_contract_and_no_others() -> None:
    report = report_of(make_case())
    assert list(report) == [
        *("schema_version", "provenance", "liver", "segments", "lesions", "remnant"),
        *("method", "summary", "hints", "warnings"),
    ]
    assert report["schema_version"] == "1.1"
    assert set(report["lesions"][0]) == {
        *("id", "tracking_uid", "volume_ml", "long_axis_mm", "short_axis_mm", "long_axis_points_ras_mm"),
        *(
            "short_axis_points_ras_mm",
            "key_slice",
            "max_diameter_3d_mm",
            "centroid_ras_mm",
            "centroid_segment",
        ),
        *("segments", "primary_segment", "mean_hu", "sd_hu", "contrast_to_liver_hu", "sphericity"),
        *("distance_to_surface_mm", "recist_measurable", "touches_volume_edge", "confidence", "review"),
    }
    assert report["lesions"][0]["long_axis_mm"] == 12.1235
    assert report["lesions"][0]["sphericity"] is None


def test_numbers_that_are_not_finite_become_null_and_numpy_numbers_plain(tmp_path: Path) -> None:
    case = make_case()
    liver = replace(case.liver, sd_hu=float("nan"), mean_hu=np.float32(101.5))
    provenance = replace(case.provenance, seconds={"read": np.float64("inf")}, parameters={"n": np.int64(3)})
    case = replace(case, liver=liver, provenance=provenance)
    text = write_case(case, tmp_path, ["report"])["report"].read_text(encoding="utf-8")
    report = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in the report"))
    assert report["liver"]["sd_hu"] is None
    assert report["liver"]["mean_hu"] == 101.5
    assert report["provenance"]["seconds"] == {"read": None}
    assert report["provenance"]["parameters"] == {"n": 3}


def test_the_input_is_told_by_hash_and_uids_but_not_by_name() -> None:
    case = make_case()
    source = Source("dicom", "DOE^JANE", "ef" * 32, "1.2.3", "1.2.3.4", "CT")
    report = report_of(replace(case, ct=replace(case.ct, source=source)))
    assert report["provenance"]["input"] == {
        "kind": "dicom",
        "sha256": "ef" * 32,
        "study_uid": "1.2.3",
        "series_uid": "1.2.3.4",
        "modality": "CT",
    }
    assert "DOE" not in json.dumps(report)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda r: r.pop("liver"),
        lambda r: r.update(extra=1),
        lambda r: r["liver"].update(volume_ml=-1.0),
        lambda r: r["lesions"][0].update(id=0),
        lambda r: r["lesions"][0].update(centroid_ras_mm=[1.0, 2.0]),
        lambda r: r["lesions"][0]["review"].update(state="maybe"),
        lambda r: r["segments"][0].update(name="IX"),
        lambda r: r.update(schema_version="2.0"),
    ],
)
def test_the_schema_refuses_a_spoiled_report(validator: jsonschema.Draft202012Validator, spoil) -> None:
    report = copy.deepcopy(report_of(make_case()))
    validator.validate(report)
    spoil(report)
    assert not validator.is_valid(report)
