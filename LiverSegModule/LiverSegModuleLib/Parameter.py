"""The module's parameters, kept in the scene."""

from enum import Enum
from typing import Annotated

from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from LiverSegModuleLib.EngineCommand import EngineOptions


class Device(Enum):
    """Where the networks run. Values are those of the engine."""

    AUTO = "auto"
    CUDA = "cuda"
    MPS = "mps"
    CPU = "cpu"

    def label(self) -> str:
        """What the combo box shows."""
        return {
            Device.AUTO: _("Automatic"),
            Device.CUDA: _("NVIDIA GPU (CUDA)"),
            Device.MPS: _("Apple GPU (MPS)"),
            Device.CPU: _("CPU"),
        }[self]


class Quality(Enum):
    """How thoroughly lesions are looked for. Values are those of the engine."""

    FULL = "full"
    FAST = "fast"

    def label(self) -> str:
        """What the combo box shows."""
        return {Quality.FULL: _("Full"), Quality.FAST: _("Fast")}[self]


class Tile(Enum):
    """How large a part of the CT the networks see at once. Values are those of the engine."""

    AUTO = "auto"
    HALF = "half"

    def label(self) -> str:
        """What the combo box shows."""
        return {
            Tile.AUTO: _("As large as memory allows"),
            Tile.HALF: _("Half size (less memory, slower)"),
        }[self]


class CouinaudMethod(Enum):
    """How a run splits the liver. Values are those of the engine."""

    SHAPE = "shape"
    VESSELS = "vessels"
    LANDMARKS = "landmarks"

    def label(self) -> str:
        """What the combo box shows."""
        return {
            CouinaudMethod.SHAPE: _("Shape of the liver"),
            CouinaudMethod.VESSELS: _("Vessels"),
            CouinaudMethod.LANDMARKS: _("Landmarks"),
        }[self]


@parameterNodeWrapper
class LiverSegParameterNode:
    """
    inputVolume - the CT.
    device - where the networks run.
    quality - fast looks less thoroughly for lesions.
    splitSegment4 - segment IV as IVa and IVb.
    force - go on where the gray values are no plausible Hounsfield units.
    model - name or folder of a model bundle; empty for the default.
    tile - half takes less memory and more time.
    couinaudMethod - how a run splits the liver.
    autoUpdate - measure again by itself when the hand rests after an edit.
    heightCm, weightKg - of the person, for the remnant; 0 where not given.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    device: Device = Device.AUTO
    quality: Quality = Quality.FULL
    splitSegment4: bool = False
    force: bool = False
    model: str = ""
    tile: Tile = Tile.AUTO
    couinaudMethod: CouinaudMethod = CouinaudMethod.SHAPE
    autoUpdate: bool = False
    heightCm: Annotated[float, WithinRange(0, 250)] = 0.0
    weightKg: Annotated[float, WithinRange(0, 350)] = 0.0


def engineOptions(parameterNode: LiverSegParameterNode) -> EngineOptions:
    """The parameters as the engine takes them."""
    return EngineOptions(
        device=parameterNode.device.value,
        quality=parameterNode.quality.value,
        split_segment_4=parameterNode.splitSegment4,
        force=parameterNode.force,
        model=parameterNode.model,
        tile=parameterNode.tile.value,
        couinaud_method=parameterNode.couinaudMethod.value,
    )
