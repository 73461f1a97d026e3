"""Which CTs a batch is about: each once, under a name that tells it from others, whatever lies around it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from liverseg.batch_inputs import RECORD, find_inputs
from liverseg.cli import main
from liverseg.errors import InputRefused


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def dicom(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(128) + b"DICM")


def found(source: Path) -> list[tuple[str, str]]:
    root = source if source.is_dir() else source.parent
    return [(each.name, each.path.relative_to(root).as_posix()) for each in find_inputs(source)]


def test_a_disc_with_a_table_of_contents_holds_its_ct_once(tmp_path):
    dicom(tmp_path / "pat1" / "DICOMDIR")
    dicom(tmp_path / "pat1" / "DICOM" / "IM0")
    assert found(tmp_path) == [("pat1", "pat1/DICOM")]


def test_links_that_go_round_in_circles_or_to_a_folder_beside_repeat_no_ct(tmp_path):
    touch(tmp_path / "data" / "p1" / "ct.nii.gz", tmp_path / "elsewhere" / "ct.nrrd")
    for link, target in (("latest", "."), ("a_copy", "p1"), ("more", "../elsewhere"), ("self", "self")):
        (tmp_path / "data" / link).symlink_to(target)
    (tmp_path / "data" / "p1" / "up").symlink_to("..")
    assert found(tmp_path / "data") == [("more", "more/ct.nrrd"), ("p1", "p1/ct.nii.gz")]


def test_a_folder_that_cannot_be_opened_is_left_out_with_a_warning(tmp_path, monkeypatch, caplog):
    touch(tmp_path / "p1" / "ct.nii.gz", tmp_path / "lost+found" / "ct.nii.gz")
    listing = Path.iterdir

    def closed(folder: Path) -> Iterator[Path]:
        if folder.name == "lost+found":
            raise PermissionError(13, "Permission denied")
        return listing(folder)

    monkeypatch.setattr(Path, "iterdir", closed)
    assert found(tmp_path) == [("p1", "p1/ct.nii.gz")]
    assert "lost+found cannot be opened (Permission denied)" in caplog.text


def test_results_of_a_batch_are_no_cts_of_the_next(tmp_path):
    touch(tmp_path / "one.nii.gz", tmp_path / "one" / RECORD)
    dicom(tmp_path / "one" / "seg.dcm")
    assert found(tmp_path) == [("one", "one.nii.gz")]


@pytest.mark.parametrize(
    "text",
    [
        "name,ct\nMüller,a.nii.gz\n".encode("cp1252"),
        "ct\na.nii\n".encode("utf-16"),
        "ct\na\n".encode("utf-16-le"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".txt"])
def test_a_list_or_a_table_in_another_encoding_says_how_to_save_it(tmp_path, capsys, text, suffix):
    source = tmp_path / f"cases{suffix}"
    source.write_bytes(text)
    assert main(["batch", str(source), "-o", str(tmp_path / "out")]) == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "save it as UTF-8" in said


def test_umlauts_and_the_mark_of_utf_8_are_read(tmp_path):
    (tmp_path / "cases.csv").write_text("name,ct\nMüller,ü/a.nii.gz\n", encoding="utf-8-sig")
    assert found(tmp_path / "cases.csv") == [("Müller", "ü/a.nii.gz")]


def test_a_column_without_a_title_is_neither_name_nor_series(tmp_path):
    (tmp_path / "cases.csv").write_text(",ct\n0,a.nii.gz\n1,b.nii.gz\n")
    assert found(tmp_path / "cases.csv") == [("a", "a.nii.gz"), ("b", "b.nii.gz")]
    assert {each.series_uid for each in find_inputs(tmp_path / "cases.csv")} == {None}


def test_an_empty_table_is_refused(tmp_path):
    (tmp_path / "cases.csv").touch()
    with pytest.raises(InputRefused, match="no column called ct"):
        find_inputs(tmp_path / "cases.csv")


def test_files_of_a_list_that_are_called_like_any_other_have_the_names_of_their_folders(tmp_path):
    (tmp_path / "cases.txt").write_text("anna/ct.nii.gz\nbert/CT/image.nrrd\ncarl/x/../DICOM\nscan_7.nii\n")
    assert [each.name for each in find_inputs(tmp_path / "cases.txt")] == ["anna", "bert", "carl", "scan_7"]


@pytest.mark.parametrize("letter", ["a", "п", "肝"])
def test_a_long_name_fits_on_the_disk_and_stays_another_than_its_like(tmp_path, letter):
    rows = [f"{letter * 150}{n},{n}.nii.gz\n" for n in range(2)]
    (tmp_path / "cases.csv").write_text("name,ct\n" + "".join(rows), encoding="utf-8")
    names = [each.name for each in find_inputs(tmp_path / "cases.csv")]
    assert len(set(names)) == 2
    for name in names:
        assert name.startswith(letter * 40)
        (tmp_path / f"{name}_99").mkdir()
