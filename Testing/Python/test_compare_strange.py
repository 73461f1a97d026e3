"""Strange read-outs against an ordinary one: a valid comparison, or one clear line and nothing half."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import jsonschema
import pytest

from liverseg.compare import compare_cases
from liverseg.compare.output import FILENAMES, write_comparison
from liverseg.compare.result import Comparison
from liverseg.errors import UsageError
from liverseg.resources import resources_folder
from made_cases import make_case
from strange_cases import STRANGE, UNICODE, no_lesion, three_hundred_lesions

SCHEMA = resources_folder() / "Schemas" / "comparison.schema.json"


@pytest.mark.parametrize("make", STRANGE)
def test_each_strange_case_compares_with_an_ordinary_one(tmp_path: Path, make) -> None:
    comparison = compare_cases(make_case(), make())
    files = write_comparison(comparison, tmp_path / UNICODE.replace("\n", " ").replace("\t", " "))
    schema = json.loads(
        (resources_folder() / "Schemas" / "comparison.schema.json").read_text(encoding="utf-8")
    )
    report = json.loads(files["compare.json"].read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(report)
    told = Counter(lesion_id for lesion in comparison.lesions for lesion_id in lesion.before)
    assert told == Counter(lesion.id for lesion in comparison.before.measured)
    told = Counter(lesion_id for lesion in comparison.lesions for lesion_id in lesion.after)
    assert told == Counter(lesion.id for lesion in comparison.after.measured)


def test_three_hundred_lesions_that_came_or_went_are_counted() -> None:
    came = compare_cases(no_lesion(), three_hundred_lesions())
    assert [lesion.status for lesion in came.lesions] == ["new"] * 300
    assert came.targets.new_lesions == 300
    went = compare_cases(three_hundred_lesions(), no_lesion())
    assert [lesion.status for lesion in went.lesions] == ["gone"] * 300


@pytest.mark.parametrize(
    ("writer", "name"),
    [
        ("liverseg.compare.picture.write_picture", "compare.png"),
        ("liverseg.compare.output.write_table", "compare.csv"),
        ("liverseg.compare.output.write_json", "compare.json"),
    ],
)
def test_a_disk_that_is_full_halfway_leaves_the_earlier_file_and_nothing_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str, name: str
) -> None:
    comparison = compare_cases(make_case(), no_lesion())
    before = write_comparison(comparison, tmp_path)[name].read_bytes()

    def half(comparison: Comparison, path: Path) -> None:
        path.write_bytes(before[: len(before) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, half)
    with pytest.raises(UsageError, match="no space left on the disk"):
        write_comparison(comparison, tmp_path, overwrite=True)
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert "compare.json" not in left, "a folder without it is not whole"
    assert set(left) <= set(FILENAMES)
    assert name == "compare.json" or left[name] == before


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("notes")
    with pytest.raises(UsageError, match="is a file"):
        write_comparison(compare_cases(make_case(), no_lesion()), tmp_path / "out")
    assert (tmp_path / "out").read_text() == "notes"
