"""report.pdf: its pages, its fonts, names in any script, and no patient who was not asked for."""

from __future__ import annotations

import logging
import unicodedata
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pypdf import PdfReader

from liverseg import writers
from liverseg.case import Case, Remnant, Review
from liverseg.cli import main
from liverseg.errors import UsageError
from liverseg.volume import Source
from liverseg.writers import pdf_content, pdf_fonts, report_pdf, write_case
from liverseg.writers.pdf_sheet import PAPERS
from writer_cases import empty_case, make_case

NAMES = {
    "Latin": "Łukasz Müller-Ångström",
    "Cyrillic": "Иванова Ольга",
    "Greek": "Ελένη Παπαδοπούλου",
    "Arabic": "محمد علي",
    "Hebrew": "דוד כהן",
    "Japanese": "山田 たろう",
    "Korean": "김철수",
    "Chinese": "王小明",
    "Thai": "ไทย",
    "Vietnamese": "Nguyễn Thị Ánh",
}


@pytest.fixture(autouse=True)
def light_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of a few pixels, none in 3D: full ones would only cost seconds."""
    monkeypatch.setattr(pdf_content, "_DETAIL_SIDE", 90)
    monkeypatch.setattr(pdf_content, "_SMALL_SIZE", (84, 68))
    fake = Image.new("RGB", (60, 40), (90, 120, 150))
    monkeypatch.setattr(pdf_content, "render_looks", lambda case, looks, background: [fake] * len(looks))


def written(case: Case, folder: Path, **settings: object) -> PdfReader:
    path = write_case(case, folder, ["pdf"], overwrite=True, settings={"pdf": settings})["pdf"]
    return PdfReader(path)


def texts(reader: PdfReader) -> list[str]:
    """The words of each page; joined Arabic letters as plain ones."""
    return [" ".join(unicodedata.normalize("NFKC", page.extract_text()).split()) for page in reader.pages]


def many_lesions(count: int) -> Case:
    """A case whose first lesions are one voxel each, the last one the largest."""
    case = make_case(lesion_count=1)
    lesions = np.zeros_like(case.masks.lesions)
    places = np.argwhere(case.masks.liver)[:count]
    for n, place in enumerate(places, start=1):
        lesions[tuple(place)] = n
    one = case.lesions[0]
    readouts = tuple(
        replace(one, id=n, long_axis_mm=1.0 + n / 10, review=Review()) for n in range(1, count + 1)
    )
    return replace(case, masks=replace(case.masks, lesions=lesions), lesions=readouts)


def test_a_summary_is_followed_by_a_page_a_lesion_and_each_says_research_use(tmp_path: Path) -> None:
    pages = texts(written(make_case(), tmp_path))
    assert len(pages) == 3
    for n, page in enumerate(pages, start=1):
        assert report_pdf.RESEARCH_USE in page
        assert f"Page {n} of 3" in page
    assert all(f"Lesion {n}: 12 x 9 mm, segment II" in pages[n] for n in (1, 2))


def test_the_summary_holds_the_numbers_of_the_case(tmp_path: Path) -> None:
    case = make_case()
    page = texts(written(case, tmp_path))[0]
    for segment in case.segments:
        assert f"{segment.name} {segment.volume_ml:.1f} 12.5 %" in page
    assert "104 ± 18 HU" in page
    assert "3.5 %" in page
    assert "shape network, confidence 0.81" in page
    assert case.warnings[0] in page
    assert case.hints[0] in page
    assert "Future liver remnant" not in page
    approximate = replace(case, method=replace(case.method, approximate=True))
    assert "Approximate" in texts(written(approximate, tmp_path))[0]


def test_a_lesion_page_holds_its_measurements_review_and_comment(tmp_path: Path) -> None:
    case = make_case()
    said = Review(
        "rejected", "Dr. Müller", "2026-01-02T03:04:05+00:00", "A flow artefact, see the late phase."
    )
    first = replace(case.lesions[0], review=said, touches_volume_edge=True)
    page = texts(written(replace(case, lesions=(first, case.lesions[1])), tmp_path))[1]
    for words in ("II 60 %, III 40 %", "60 ± 9 HU", "-44 HU", "3.0 mm", "0.90", "rejected by the reader"):
        assert words in page
    assert "Rejected, 2026-01-02 03:04 UTC, by Dr. Müller" in page
    assert "A flow artefact, see the late phase." in page
    assert "size is a lower limit" in page
    assert "Not reviewed" in texts(written(case, tmp_path))[2]


def test_a_center_near_the_origin_has_no_minus_before_its_zeros(tmp_path: Path) -> None:
    case = make_case(lesion_count=1)
    center = replace(case.lesions[0], centroid_ras_mm=(-0.3, 0.4, -12.6))
    page = texts(written(replace(case, lesions=(center,)), tmp_path))[1]
    assert "Center R, A, S 0, 0, -13 mm" in page


@pytest.mark.parametrize("paper", ["a4", "letter"])
def test_the_paper_is_the_one_asked_for_and_nothing_lies_outside(tmp_path: Path, paper: str) -> None:
    case = make_case()
    long = replace(case.lesions[0].review, comment="word " * 2000)
    case = replace(case, lesions=(replace(case.lesions[0], review=long), case.lesions[1]))
    reader = written(case, tmp_path, paper=paper)
    width, height = PAPERS[paper]
    for page in reader.pages:
        assert float(page.mediabox.width) == pytest.approx(width, abs=0.1)
        assert float(page.mediabox.height) == pytest.approx(height, abs=0.1)
        places: list[tuple[float, float]] = []
        page.extract_text(visitor_text=lambda text, cm, tm, font, size: places.append((tm[4], tm[5])))  # noqa: B023
        assert all(0 <= x <= width and 15 <= y <= height for x, y in places if (x, y) != (0, 0))


def test_every_font_is_embedded(tmp_path: Path) -> None:
    reader = written(make_case(), tmp_path, patient=" ".join(NAMES.values()))
    names = set()
    for page in reader.pages:
        for font in page["/Resources"]["/Font"].values():
            names.add(font["/BaseFont"])
            assert "/FontFile2" in font["/FontDescriptor"]
            assert "/ToUnicode" in font
    assert len(names) >= 4


@pytest.mark.parametrize("script", NAMES)
def test_a_name_in_any_script_is_on_every_page(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, script: str
) -> None:
    if script in ("Japanese", "Korean", "Chinese", "Thai") and find_spec("weblate_fonts") is None:
        pytest.skip("weblate-fonts is not installed: no font for this script")
    with caplog.at_level(logging.WARNING):
        pages = texts(written(make_case(), tmp_path, patient=NAMES[script]))
    assert not caplog.records
    for page in pages:
        assert all(unicodedata.normalize("NFKC", part) in page for part in NAMES[script].split())


def test_without_the_font_package_there_is_a_sign_and_one_word_about_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pdf_fonts, "find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        pages = texts(written(make_case(), tmp_path, patient="山田 Müller"))
    assert "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} Müller" in pages[0]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "2 characters" in caplog.text
    assert "weblate-fonts" in caplog.text


def test_right_to_left_words_stand_in_the_order_they_are_read_in() -> None:
    def order(line: str) -> list[str]:
        return [text for text, _ in pdf_fonts._in_display_order(line)]

    assert order("abc דוד כהן def") == ["abc ", "דוד כהן", " def"]
    assert order("דוד 12 כהן") == [" כהן", "12", "דוד "]
    # A joiner inside of a word stays where it is.
    assert order("x می\u200cخواهم y") == ["x ", "می\u200cخواهم", " y"]
    assert order("plain") == ["plain"]
    assert order("") == []


@pytest.mark.parametrize("kind", ["dicom", "file"])
def test_no_patient_is_named_unless_asked_for(tmp_path: Path, kind: str) -> None:
    case = make_case()
    source = Source(kind, "DOE^JANE_1950.nii.gz", "cd" * 32, study_uid="1.2.3.4.5.6")
    case = replace(case, ct=replace(case.ct, source=source))
    reader = written(case, tmp_path)
    words = " ".join(texts(reader)) + str(reader.metadata)
    assert not any(word in words for word in ("DOE", "JANE", "1950", "1.2.3.4.5.6"))
    assert b"DOE" not in (tmp_path / "report.pdf").read_bytes()
    assert "cd" * 6 in words


def test_three_hundred_lesions_give_a_long_table_and_twenty_pages(tmp_path: Path) -> None:
    case = many_lesions(300)
    pages = texts(written(case, tmp_path))
    own = [page for page in pages if "Tracking UID" in page]
    assert len(own) == pdf_content.LESION_PAGES
    assert "Lesion 300: " in own[0]
    assert "Lesion 281: " in own[-1]
    assert "300 lesions. The 20 largest by long axis have a page of their own" in pages[0]
    table = " ".join(page for page in pages if "Tracking UID" not in page)
    assert all(f" {n} II " in table for n in range(1, 301))
    assert len(pages) < 32
    # The first page is whole: what made the numbers stands on it.
    assert "SHA-256" in pages[0]


def test_the_page_numbers_in_the_table_are_those_of_the_lesions_pages(tmp_path: Path) -> None:
    case = many_lesions(40)
    reader = written(case, tmp_path)
    pages = texts(reader)
    for lesion_id in (40, 31, 21):
        number = next(n for n, page in enumerate(pages, start=1) if f"Lesion {lesion_id}: " in page)
        assert any(f" {lesion_id} II" in page and f"not reviewed {number}" in page for page in pages)
    titles = [entry["/Title"] for entry in reader.outline]
    assert titles[:2] == ["Summary", "Lesion 40"]


def test_many_long_warnings_go_on_on_another_page_and_none_is_lost(tmp_path: Path) -> None:
    warnings = tuple(f"Warning number {n}: " + "the scan is strange in many ways; " * 8 for n in range(40))
    pages = texts(written(replace(many_lesions(30), warnings=warnings), tmp_path))
    words = " ".join(pages)
    assert all(f"Warning number {n}: " in words for n in range(40))
    assert all(f" {n} II " in words for n in range(1, 31))


def test_without_a_liver_there_is_a_page_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf_content, "render_looks", lambda case, looks, background: None)
    case = replace(empty_case(), warnings=("No liver was found.",))
    pages = texts(written(case, tmp_path))
    assert len(pages) == 1
    assert "No liver was found" in pages[0]
    assert "No lesion was found or drawn." in pages[0]


def test_without_vtk_the_pages_say_that_the_3d_picture_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf_content, "render_looks", lambda case, looks, background: None)
    pages = texts(written(make_case(), tmp_path))
    assert all("3D picture is missing" in page for page in pages)


@pytest.mark.skipif(find_spec("vtk") is None, reason="vtk is not installed: no 3D view to look at")
def test_a_lesion_stands_out_in_its_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    from liverseg.writers.preview import canonical_case
    from liverseg.writers.view3d import Look, render_looks

    case = canonical_case(make_case(vessels=False))
    looks = (Look((240, 160), captioned=False), Look((200, 160), 2, (2,), captioned=False))
    pictures = render_looks(case, looks, (255, 255, 255))
    assert pictures is not None
    assert [picture.size for picture in pictures] == [(240, 160), (200, 160)]
    whole, one = (np.asarray(picture).astype(int) for picture in pictures)
    assert (whole[0, 0] == 255).all()
    for view in (whole, one):
        red = view[..., 0] - view[..., 1:].max(axis=2)
        assert (red > 60).sum() > 20

    # Outside of the one segment that has a color, the liver is a gray shell.
    def colored(view: np.ndarray) -> int:
        return int(((view.max(axis=2) - view.min(axis=2)) > 40).sum())

    assert colored(one) / one[..., 0].size < 0.6 * colored(whole) / whole[..., 0].size


def test_the_remnant_has_a_section_of_its_own(tmp_path: Path) -> None:
    planned = Remnant(("V", "VI"), 812.0, 55.5, 1400.0, 58.0)
    page = texts(written(replace(make_case(), remnant=planned), tmp_path / "a"))[0]
    assert "Resection of V, VI leaves 812 ml, 55.5 % of the liver without tumor" in page
    assert "58.0 % of the standardized liver volume (1,400 ml)" in page
    assert "in the remnant" not in page


def test_a_drawn_resection_and_the_tumor_it_leaves_are_told(tmp_path: Path) -> None:
    drawn = Remnant((), 812.0, 55.5, resected_ml=651.0, tumor_resected_ml=3.0, tumor_left_ml=0.002)
    page = texts(written(replace(make_case(), remnant=drawn), tmp_path))[0]
    assert "Resection of the part that was drawn leaves 812 ml" in page
    assert "Taken out: 651 ml, lesions included. Lesions in the remnant: <0.01 ml." in page


def test_the_same_case_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767322800")
    written(make_case(), tmp_path / "a", patient=NAMES["Arabic"])
    # Other glyphs in between leave no trace.
    written(make_case(), tmp_path / "b", patient=NAMES["Thai"] + NAMES["Hebrew"])
    written(make_case(), tmp_path / "c", patient=NAMES["Arabic"])
    assert (tmp_path / "a/report.pdf").read_bytes() == (tmp_path / "c/report.pdf").read_bytes()


def test_a_missing_package_is_one_clear_line_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(writers, "find_spec", lambda name: None if name == "reportlab" else find_spec(name))
    with pytest.raises(UsageError, match="reportlab is not installed") as caught:
        write_case(make_case(), tmp_path / "out", ["pdf"])
    assert "\n" not in str(caught.value)
    assert main(["segment", str(tmp_path / "ct.nii.gz"), "-o", str(tmp_path / "out"), "--pdf"]) == 2
    assert "pip install 'liverseg[report]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_warnings_read_as_sentences_and_a_ct_without_a_hash_has_none(tmp_path: Path) -> None:
    case = make_case()
    source = replace(case.ct.source, sha256="")
    warnings = ("segment I is missing in the Couinaud split", "The liver is cut off.")
    odd = replace(case, ct=replace(case.ct, source=source), warnings=warnings)
    text = texts(written(odd, tmp_path))[0]
    assert "Segment I is missing in the Couinaud split." in text
    assert "The liver is cut off." in text and "cut off.." not in text
    assert "SHA-256" not in text
