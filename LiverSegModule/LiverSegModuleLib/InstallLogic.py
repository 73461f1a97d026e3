"""Brings the engine's Python packages, at first use and after asking once."""

import importlib.metadata
import logging
import platform
import tempfile
from pathlib import Path

import slicer
import slicer.packaging
from slicer.i18n import tr as _

REQUESTER = "LiverSeg"
# The oldest PyTorch that a current MONAI takes.
TORCH = "torch>=2.8"


def missingPackages(requirementsPath: str) -> list[str]:
    """Requirements that are not met in Slicer's Python, PyTorch first. Loads none of the packages."""
    requirements = [TORCH, *(str(each) for each in slicer.packaging.load_requirements(requirementsPath))]
    return [each for each in requirements if not slicer.packaging.pip_check(each)]


def ensurePackages(requirementsPath: str) -> None:
    """Install what is missing. Asks once; in Slicer's testing mode nothing is installed.

    Raises:
        liverseg.errors.UsageError: the user declined, the PyTorch extension is not there, there is no PyTorch
            for this computer, or packages are missing in testing mode; nothing was installed.
        subprocess.CalledProcessError: an installation failed.
    """
    from liverseg.errors import UsageError

    missing = missingPackages(requirementsPath)
    if not missing:
        return
    if slicer.app.testingEnabled():
        raise UsageError(_("Python packages are missing: {packages}").format(packages=", ".join(missing)))
    if TORCH in missing and (platform.system(), platform.machine()) == ("Darwin", "x86_64"):
        raise UsageError(
            _(
                "LiverSeg needs {torch}, which is not made for a Slicer for Intel Macs, also where it runs "
                "on Apple chips. Read the CT out in the shell with a Python of its own "
                "(liverseg segment --scene) and open the scene here."
            ).format(torch=TORCH)
        )
    torchLogic = _torchLogic() if TORCH in missing else None
    question = _(
        "LiverSeg needs Python packages that are not installed yet. They are downloaded once, which may take "
        "several minutes, and change Slicer's Python environment. Install them now?"
    )
    title = _("LiverSeg: install Python packages")
    if not slicer.util.confirmOkCancelDisplay(question, title, detailedText="\n".join(missing)):
        raise UsageError(
            _("LiverSeg cannot run without these packages: {packages}").format(packages=", ".join(missing))
        )
    if torchLogic:
        logging.info("LiverSeg: installing PyTorch")
        installed = torchLogic.installTorch(
            askConfirmation=False, torchVersionRequirement=TORCH.removeprefix("torch")
        )
        if installed is None:
            raise UsageError(_("PyTorch was not installed; install it in the module PyTorch Utils"))
    _installOthers(requirementsPath)


def ensureExportPackages(requirementsPath: str) -> None:
    """Install what reports, DICOM objects and surfaces need, after asking.

    Args:
        requirementsPath: of ``requirements-export.txt``.

    Raises:
        liverseg.errors.UsageError: packages are missing in testing mode.
        subprocess.CalledProcessError: an installation failed.
    """
    from liverseg.errors import UsageError

    requirements = slicer.packaging.load_requirements(requirementsPath)
    missing = [str(each) for each in requirements if not slicer.packaging.pip_check(str(each))]
    if not missing:
        return
    if slicer.app.testingEnabled():
        raise UsageError(_("Python packages are missing: {packages}").format(packages=", ".join(missing)))
    question = _(
        "PDF reports, DICOM objects and surfaces need Python packages that are not installed yet. They are "
        "downloaded once and change Slicer's Python environment. Install them now?"
    )
    title = _("LiverSeg: install Python packages")
    if slicer.util.confirmOkCancelDisplay(question, title, detailedText="\n".join(missing)):
        slicer.packaging.pip_ensure(requirements, prompt_install=False, requester=REQUESTER)


def _installOthers(requirementsPath: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        # Packages that need torch must take the build that is there, or pip would put another one over it.
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text(f"torch=={importlib.metadata.version('torch')}\n", encoding="utf-8")
        slicer.packaging.pip_ensure(
            slicer.packaging.load_requirements(requirementsPath),
            constraints=str(constraints),
            prompt_install=False,
            requester=REQUESTER,
        )


def _torchLogic():
    """The logic of the PyTorch extension.

    Raises:
        liverseg.errors.UsageError: the extension is not installed.
    """
    from liverseg.errors import UsageError

    try:
        import PyTorchUtils
    except ModuleNotFoundError as error:
        raise UsageError(
            _(
                "LiverSeg needs the extension PyTorch. Install it from the Extensions Manager "
                "and restart Slicer."
            )
        ) from error
    return PyTorchUtils.PyTorchUtilsLogic()
