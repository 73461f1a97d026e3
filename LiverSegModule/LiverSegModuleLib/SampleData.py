"""Sample data: Slicer's own CT of a liver, and a patient that is made up on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

CATEGORY = "LiverSeg"
# As in Slicer's own SampleData module: Task03_Liver of the Medical Segmentation Decathlon, CC BY-SA 4.0.
CTLIVER_SHA256 = "e16eae0ae6fefa858c5c11e58f0f1bb81834d81b7102e021571056324ef6f37e"
CTLIVER_URI = f"https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/{CTLIVER_SHA256}"


def madeUpName() -> str:
    """What the made-up patient is called."""
    return _("Made-up patient")


def registerSampleData(iconsFolder: Path) -> None:
    """List both under "LiverSeg" in Slicer's Sample Data module."""
    import SampleData

    register = SampleData.SampleDataLogic.registerCustomSampleDataSource
    register(
        category=CATEGORY,
        sampleName="CTLiver",
        uris=CTLIVER_URI,
        fileNames="CTLiver.nrrd",
        nodeNames="CTLiver",
        checksums=f"SHA256:{CTLIVER_SHA256}",
        thumbnailFileName=str(iconsFolder / "LiverSegModule.png"),
    )
    register(
        category=CATEGORY,
        sampleName=madeUpName(),
        # Nothing is downloaded; the lists must have one length all the same.
        uris="",
        fileNames=madeUpName(),
        nodeNames=madeUpName(),
        customDownloader=makeSample,
        thumbnailFileName=str(iconsFolder / "LiverSegModule.png"),
    )


def makeSample(_source: Any) -> list[Any]:
    """What Slicer's Sample Data module calls in place of a download."""
    # One function, and no lambda: Slicer knows by it what is registered already.
    return [makePatient(slicer.mrmlScene)]


def makePatient(scene: Any, seed: int = 0) -> Any:
    """A volume node with a made-up CT, shown in the slice views."""
    from liverseg.phantom import make_phantom
    from liverseg_mrml.volume_node import add_volume

    phantom = make_phantom(seed=seed)
    node = add_volume(scene, phantom.ct, scene.GenerateUniqueName(madeUpName()))
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


def downloadCTLiver() -> Any:
    """Slicer's CTLiver; from its cache when it was downloaded before.

    Raises:
        liverseg.errors.InputRefused: it could not be downloaded or read.
    """
    import SampleData

    from liverseg.errors import InputRefused

    # No node at all where the download failed, or None in its place where it could not be read.
    nodes = SampleData.downloadSamples("CTLiver")
    if not nodes or nodes[0] is None:
        raise InputRefused(_("CTLiver could not be downloaded; is the computer online?"))
    return nodes[0]
