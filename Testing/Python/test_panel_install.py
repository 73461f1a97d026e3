"""Packages come once, after asking, by real pip from made-up wheels; declining installs nothing."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from made_wheels import make_wheel
from panel_host import ROOT, click, program, wait_until

RESOURCES = ROOT / "LiverSegModule" / "Resources"
NAMES = [
    "monai",
    "safetensors",
    "connected-components-3d",
    "edt",
    "scipy",
    "pydicom",
    "rich",
    "psutil",
    "pillow",
]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> Path:
    """Every requirement in a version that is new enough; two of PyTorch, the newer one a trap."""
    folder = tmp_path_factory.mktemp("wheels")
    for name in NAMES:
        make_wheel(folder, name, "99.1", ["torch>=2.8"] if name == "monai" else [])
    for name in ("reportlab", "uharfbuzz", "python-bidi", "highdicom", "trimesh"):
        make_wheel(folder, name, "0.99" if name == "python-bidi" else "99.1")
    make_wheel(folder, "torch", "2.13.0+cpu")
    make_wheel(folder, "torch", "3.0")
    return folder


@pytest.fixture
def fresh(host, wheels, tmp_path, monkeypatch):
    """A panel in a Slicer without any package; its wheels can be taken away, as the network can."""
    import slicer

    from LiverSegModuleLib.SelfTestTools import chooseSmallPatient
    from slicer_packaging import Packaging

    site = tmp_path / "site"
    site.mkdir()
    packaging = Packaging(site)
    online = tmp_path / "online"
    shutil.copytree(wheels, online)
    told: list[dict[str, object]] = []

    class PyTorchUtilsLogic:
        """As the PyTorch extension has it."""

        def installTorch(  # noqa: N802
            self,
            askConfirmation=False,  # noqa: N803
            forceComputationBackend=None,  # noqa: N803
            torchVersionRequirement=None,  # noqa: N803
            torchvisionVersionRequirement=None,  # noqa: N803
        ):
            told.append({"ask": askConfirmation, "version": torchVersionRequirement})
            packaging.install([f"torch{torchVersionRequirement},<3"], [])
            return ModuleType("torch")

    extension = ModuleType("PyTorchUtils")
    extension.PyTorchUtilsLogic = PyTorchUtilsLogic  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "PyTorchUtils", extension)
    monkeypatch.setattr(slicer, "packaging", packaging)
    monkeypatch.setenv("PIP_FIND_LINKS", str(online))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.syspath_prepend(str(site))
    # In place of the engine: what matters here is whether it is started.
    program(tmp_path / "bin", f"touch '{tmp_path}/started'\nexit 3")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    chooseSmallPatient(host.widget)
    host.settle()
    started = tmp_path / "started"
    return SimpleNamespace(site=site, packaging=packaging, online=online, told=told, started=started)


def installed(fresh) -> set[str]:
    return {path.name.split("-")[0].replace("_", "-") for path in fresh.site.glob("*.dist-info")}


def apply(host) -> None:
    logic = host.widget.panel.session.logic
    click(host.widget.ui.applyButton)
    wait_until(host, lambda: not logic.isRunning)


def test_the_list_of_this_test_is_that_of_the_requirements(fresh) -> None:
    from LiverSegModuleLib.InstallLogic import TORCH, missingPackages

    missing = missingPackages(str(RESOURCES / "requirements.txt"))
    assert [each.split(">")[0] for each in missing] == ["torch", *NAMES]
    assert missing[0] == TORCH


def test_packages_are_asked_for_once_and_installed_around_the_pytorch_that_is_there(host, fresh) -> None:
    apply(host)
    question, *further = host.dialogs
    assert "Install them now?" in question
    assert host.details[0].splitlines()[0] == "torch>=2.8" and "monai>=1.4" in host.details[0]
    assert fresh.told == [{"ask": False, "version": ">=2.8"}]
    assert installed(fresh) == {"torch", *NAMES}
    # Not the newest PyTorch of all, which what needs it would pull in.
    assert (fresh.site / "torch-2.13.0+cpu.dist-info").exists()
    assert fresh.started.exists()
    # Only the engine's own end was told of, which is none of this test's.
    assert all("ended with" in each for each in further)
    # A second time, without a network: nothing is asked, nothing fetched, and the engine starts.
    shutil.rmtree(fresh.online)
    fresh.started.unlink()
    host.dialogs.clear()
    calls = len(fresh.packaging.installed)
    apply(host)
    assert fresh.started.exists()
    assert not [each for each in host.dialogs if "Install" in each or "packages" in each]
    assert len(fresh.packaging.installed) == calls == 2


def test_who_declines_gets_one_clear_line_and_nothing_is_installed_or_started(host, fresh, caplog) -> None:
    host.answer = False
    with caplog.at_level(logging.INFO):
        apply(host)
    assert len(host.dialogs) == 2
    assert host.dialogs[1].splitlines()[0] == "LiverSeg could not start."
    (line,) = host.dialogs[1].splitlines()[2:]
    assert line.startswith("LiverSeg cannot run without these packages: torch>=2.8, monai>=1.4")
    # It is no defect: no traceback in the log.
    assert not [record for record in caplog.records if record.exc_info]
    assert not installed(fresh) and not fresh.packaging.installed and not fresh.told
    assert not fresh.started.exists()
    assert host.widget.ui.applyButton.enabled and host.widget.ui.applyButton.text == "Apply"


def test_without_the_pytorch_extension_nothing_is_asked_or_installed(host, fresh, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    apply(host)
    (told,) = host.dialogs
    assert "Extensions Manager" in told
    assert not installed(fresh) and not fresh.started.exists()


def test_on_a_mac_whose_slicer_has_no_such_pytorch_nothing_is_asked_or_downloaded(
    host, fresh, monkeypatch
) -> None:
    import platform

    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    apply(host)
    (told,) = host.dialogs
    assert "torch>=2.8, which is not made for a Slicer for Intel Macs" in told
    assert not installed(fresh) and not fresh.told and not fresh.started.exists()


def test_a_pytorch_that_could_not_be_installed_ends_it_there(host, fresh, monkeypatch) -> None:
    logic = sys.modules["PyTorchUtils"].PyTorchUtilsLogic
    monkeypatch.setattr(logic, "installTorch", lambda self, **_options: None)
    apply(host)
    assert "PyTorch was not installed" in host.dialogs[1]
    assert not installed(fresh) and not fresh.started.exists()


def test_in_testing_mode_slicers_python_is_left_alone(host, fresh, monkeypatch) -> None:
    import slicer

    monkeypatch.setattr(slicer.app, "testing", True)
    apply(host)
    (told,) = host.dialogs
    assert "Python packages are missing: torch>=2.8" in told
    assert not installed(fresh) and not fresh.started.exists()


def test_what_export_needs_is_asked_for_by_itself(host, fresh) -> None:
    from LiverSegModuleLib.InstallLogic import ensureExportPackages

    path = str(RESOURCES / "requirements-export.txt")
    host.answer = False
    ensureExportPackages(path)
    assert len(host.dialogs) == 1 and not installed(fresh)
    host.answer = True
    ensureExportPackages(path)
    assert installed(fresh) == {"reportlab", "uharfbuzz", "python-bidi", "highdicom", "trimesh"}
    ensureExportPackages(path)
    assert len(host.dialogs) == 2
