"""Sample data: what Slicer's Sample Data module lists, the patient made on the spot, and failed downloads."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from panel_host import ROOT, click

# SampleData.py of Slicer 5.12 (branch 5.12, initSampleDataSources) has CTLiver under this checksum.
SHA256_IN_SLICER = "e16eae0ae6fefa858c5c11e58f0f1bb81834d81b7102e021571056324ef6f37e"


@pytest.fixture
def sample_data(host, monkeypatch):
    from sample_data import SampleData

    module = SampleData()
    monkeypatch.setitem(sys.modules, "SampleData", module)
    return module


@pytest.fixture
def sources(sample_data):
    from LiverSegModule import onStartupCompleted

    onStartupCompleted()
    return {source.sampleName: source for source in sample_data.sources["LiverSeg"]}


def test_both_samples_are_listed_once_under_liverseg_with_a_picture(sources, sample_data) -> None:
    from LiverSegModule import onStartupCompleted

    assert list(sources) == ["CTLiver", "Made-up patient"]
    onStartupCompleted()
    assert len(sample_data.sources["LiverSeg"]) == 2
    for source in sources.values():
        assert Path(source.thumbnailFileName).is_file()


def test_ctliver_comes_from_where_slicer_has_it_and_is_checked(sources) -> None:
    import slicer.util

    source = sources["CTLiver"]
    assert source.uris == [f"{slicer.util.TESTING_DATA_URL}SHA256/{SHA256_IN_SLICER}"]
    assert source.checksums == [f"SHA256:{SHA256_IN_SLICER}"]
    algorithm, digest = slicer.util.extractAlgoAndDigest(source.checksums[0])
    assert (algorithm, digest) == ("SHA256", SHA256_IN_SLICER)
    assert source.fileNames == ["CTLiver.nrrd"] and source.nodeNames == ["CTLiver"]
    # Slicer's own reader and cache take it: nothing of ours stands in between.
    assert source.customDownloader is None


def test_the_module_registers_them_when_the_application_has_started(host, sample_data, monkeypatch) -> None:
    import slicer

    import LiverSegModule

    slots = []
    monkeypatch.setattr(slicer.app.startupCompleted, "connect", slots.append)

    class Parent:
        pass

    LiverSegModule.LiverSegModule(Parent())
    assert not sample_data.sources
    (slot,) = slots
    slot()
    assert list(sample_data.sources) == ["LiverSeg"]


def test_the_made_up_patient_needs_no_network_and_is_a_ct_that_passes(host, sources, monkeypatch) -> None:
    import slicer.util

    from liverseg_mrml.input_volume import preflight

    shown = []
    monkeypatch.setattr(
        slicer.util, "setSliceViewerLayers", lambda **given: shown.append(given["background"])
    )
    source = sources["Made-up patient"]
    assert source.uris == [""]
    (node,) = source.customDownloader(source)
    assert node.GetName() == "Made-up patient" and shown == [node]
    report = preflight(host.scene, node)
    assert report.passed and not [each for each in report.findings if each.level == "warning"]


def test_the_panels_button_takes_slicers_download_and_says_when_there_is_none(host, sample_data) -> None:
    ui, parameters = host.widget.ui, host.widget._parameterNode
    click(ui.downloadButton)
    (told,) = host.dialogs
    assert "is the computer online?" in told and "index out of range" not in told
    assert parameters.inputVolume is None
    sample_data.answer["CTLiver"] = [None]
    click(ui.downloadButton)
    assert len(host.dialogs) == 2
    node = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CTLiver")
    sample_data.answer["CTLiver"] = [node]
    click(ui.downloadButton)
    assert parameters.inputVolume is node and len(host.dialogs) == 2


def test_the_cache_name_that_can_be_removed_is_that_of_the_download(sources) -> None:
    text = (ROOT / "LiverSegModule/LiverSegModuleLib/StoredFiles.py").read_text(encoding="utf-8")
    assert re.search(r'DOWNLOADS = \("CTLiver.nrrd",\)', text)
    assert sources["CTLiver"].fileNames == ["CTLiver.nrrd"]
