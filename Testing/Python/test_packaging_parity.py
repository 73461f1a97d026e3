"""What is in the source tree is in the installed extension: every file is listed in a CMake list, by name.

A file that is missing from its list works from the source tree and is gone for everyone who installs.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# (CMake file, variable, folder that its entries are relative to)
PACKAGES = [
    ("LiverSegExtension/CMakeLists.txt", "liverseg_SCRIPTS", "LiverSegExtension/liverseg"),
    ("LiverSegExtension/CMakeLists.txt", "liverseg_mrml_SCRIPTS", "LiverSegExtension/liverseg_mrml"),
    ("LiverSegModule/CMakeLists.txt", "MODULE_PYTHON_SCRIPTS", "LiverSegModule"),
]
RESOURCES = [
    (
        "LiverSegModule/CMakeLists.txt",
        "MODULE_PYTHON_RESOURCES",
        "LiverSegModule",
        "LiverSegModule/Resources",
    ),
    ("Resources/CMakeLists.txt", "LIVERSEG_SHARED_RESOURCES", "Resources", "Resources"),
]
# Pages on the web show these; the extension needs none of them.
NOT_SHIPPED = ("Resources/CMakeLists.txt", "Resources/Screenshots/", "Resources/Icons/LiverSeg.png")


def listed(cmake_file: str, variable: str) -> list[str]:
    """The entries of ``set(variable ...)``, with the module's name put in."""
    text = re.sub(r"#.*", "", (ROOT / cmake_file).read_text(encoding="utf-8"))
    blocks = re.findall(rf"set\(\s*{variable}\s([^)]*)\)", text)
    assert len(blocks) == 1, f"{cmake_file} must set {variable} once"
    name = re.search(r"set\(\s*MODULE_NAME\s+(\w+)\s*\)", text)
    return blocks[0].replace("${MODULE_NAME}", name[1] if name else "").split()


def files_under(folder: str, pattern: str, base: str) -> set[str]:
    """Paths relative to ``base`` of the files under a folder, without caches and what is not shipped."""
    found = set()
    for path in (ROOT / folder).rglob(pattern):
        from_root = path.relative_to(ROOT).as_posix()
        hidden = any(part.startswith(".") or part == "__pycache__" for part in path.parts[len(ROOT.parts) :])
        if path.is_file() and not hidden and not from_root.startswith(NOT_SHIPPED):
            found.add(path.relative_to(ROOT / base).as_posix())
    return found


def complain(cmake_file: str, variable: str, missing: set[str], gone: set[str]) -> str:
    """Which line to add or remove where."""
    lines = [f"add to {variable} in {cmake_file}:  {name}" for name in sorted(missing)]
    lines += [f"remove from {variable} in {cmake_file} (no such file):  {name}" for name in sorted(gone)]
    return "\n".join(lines)


@pytest.mark.parametrize(("cmake_file", "variable", "folder"), PACKAGES)
def test_every_python_file_is_listed_and_every_listed_one_is_there(
    cmake_file: str, variable: str, folder: str
) -> None:
    entries, files = listed(cmake_file, variable), files_under(folder, "*.py", folder)
    assert set(entries) == files, complain(cmake_file, variable, files - set(entries), set(entries) - files)


@pytest.mark.parametrize(("cmake_file", "variable", "base", "folder"), RESOURCES)
def test_every_resource_is_listed_and_every_listed_one_is_there(
    cmake_file: str, variable: str, base: str, folder: str
) -> None:
    entries, files = listed(cmake_file, variable), files_under(folder, "*", base)
    assert set(entries) == files, complain(cmake_file, variable, files - set(entries), set(entries) - files)


def test_no_file_is_listed_twice() -> None:
    for cmake_file, variable, *_ in (*PACKAGES, *RESOURCES):
        entries = listed(cmake_file, variable)
        repeated = {name for name in entries if entries.count(name) > 1}
        assert not repeated, f"{variable} in {cmake_file} repeats {sorted(repeated)}"


def test_no_list_is_made_by_a_pattern() -> None:
    for cmake_file in ("CMakeLists.txt", *{entry[0] for entry in (*PACKAGES, *RESOURCES)}):
        text = (ROOT / cmake_file).read_text(encoding="utf-8")
        assert not re.search(r"file\s*\(\s*GLOB", text), f"{cmake_file} must name its files"


def test_every_package_of_the_extension_is_installed() -> None:
    inits = (ROOT / "LiverSegExtension").glob("*/__init__.py")
    packages = {path.parent.name for path in inits}
    installed = {Path(folder).name for _, _, folder in PACKAGES if folder.startswith("LiverSegExtension/")}
    assert packages == installed, "list the package in LiverSegExtension/CMakeLists.txt and in this test"
    text = (ROOT / "LiverSegExtension/CMakeLists.txt").read_text(encoding="utf-8")
    assert f"foreach(package {' '.join(sorted(packages))})" in text


def test_only_modules_lie_where_slicer_looks_for_modules() -> None:
    # Slicer takes every .py that lies directly in a module path for a module and tries to load it.
    assert [path.name for path in (ROOT / "LiverSegModule").glob("*.py")] == ["LiverSegModule.py"]
    for cmake_file, variable, folder in PACKAGES[:2]:
        assert "__init__.py" in listed(cmake_file, variable), folder


def test_installed_resources_of_the_module_and_of_the_engine_do_not_collide() -> None:
    # Both end up in the one folder Resources beside the module.
    ours = set(listed("LiverSegModule/CMakeLists.txt", "MODULE_PYTHON_RESOURCES"))
    shared = {f"Resources/{name}" for name in listed("Resources/CMakeLists.txt", "LIVERSEG_SHARED_RESOURCES")}
    assert not ours & shared


def test_the_modules_requirements_are_those_of_the_package() -> None:
    # Slicer brings numpy and SimpleITK; PyTorch comes through its extension; psutil is the panel's own.
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    assert block is not None
    declared = set(re.findall(r'^\s*"([^"]+)"', block[1], re.MULTILINE))
    expected = {
        d for d in declared if re.match(r"[\w-]+", d)[0].lower() not in ("numpy", "simpleitk", "torch")
    }
    lines = (ROOT / "LiverSegModule/Resources/requirements.txt").read_text(encoding="utf-8").splitlines()
    required = {line for line in lines if line and not line.startswith("#")}
    assert {r for r in required if not r.startswith("psutil")} == expected - {"psutil>=5.9"}


def test_the_description_of_the_extension_is_one_cmake_item() -> None:
    # SlicerExtensionCPack.cmake passes it on unquoted: what follows a semicolon would be lost.
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    (description,) = re.findall(r'^set\(EXTENSION_DESCRIPTION "([^"]*)"\)$', text, re.MULTILINE)
    assert ";" not in description


def test_the_entry_for_slicers_catalog_is_one_of_this_extension() -> None:
    entry = json.loads((ROOT / "LiverSeg.json").read_text(encoding="utf-8"))
    # As slicer-extension-catalog-entry-schema-v1.0.1.json has them, which allows no others.
    assert set(entry) <= {
        *("$schema", "category", "scm_url", "scm_revision", "scm_type"),
        *("build_dependencies", "build_subdirectory", "enabled", "tier"),
    }
    assert {"$schema", "category", "scm_url"} <= set(entry)
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    (depends,) = re.findall(r'^set\(EXTENSION_DEPENDS "([^"]*)"\)$', text, re.MULTILINE)
    assert entry["build_dependencies"] == depends.split()
    (homepage,) = re.findall(r'^set\(EXTENSION_HOMEPAGE "([^"]*)"\)$', text, re.MULTILINE)
    assert entry["scm_url"] == f"{homepage}.git"
    (category,) = re.findall(
        r'translate\("qSlicerAbstractCoreModule", "(\w+)"\)',
        (ROOT / "LiverSegModule" / "LiverSegModule.py").read_text(encoding="utf-8"),
    )
    assert entry["category"] == category
    # Links to pictures name files that are there.
    for path in re.findall(r"SlicerLiverSeg/main/(\S+?\.png)", text):
        assert (ROOT / path).is_file(), path
