"""The module's self test, played in a Qt window without Slicer."""

from __future__ import annotations

import unittest

import pytest

from panel_host import ROOT


def names() -> list[str]:
    """The scenarios of the self test, read without loading it (it needs the host)."""
    files = sorted((ROOT / "LiverSegModule/LiverSegModuleLib").glob("SelfTest*.py"))
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    return [line[4:].split("(")[0] for line in lines if line.startswith("def scenario_")]


@pytest.mark.parametrize("name", names())
def test_the_modules_self_test_passes(host, name):
    from LiverSegModuleLib.SelfTest import scenarios

    assert sorted(scenarios()) == sorted(names())
    scenarios()[name](unittest.TestCase())
    assert not host.dialogs, "no error was shown"


def test_a_scenario_that_cannot_be_played_is_skipped_and_fails_on_a_ci_machine(host, monkeypatch):
    import LiverSegModule
    from LiverSegModuleLib import SelfTest, SelfTestTools

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(SelfTestTools, "missingPackages", lambda path: ["torch>=2.8"])
    chosen = ("scenario_painting_stays_where_it_belongs", "scenario_parameters_reach_the_engine")
    played = {name: SelfTest.scenarios()[name] for name in chosen}
    monkeypatch.setattr(SelfTest, "scenarios", lambda: played)

    class Test(LiverSegModule.LiverSegModuleTest, unittest.TestCase):
        pass

    with pytest.raises(unittest.SkipTest, match=r"1 of 2 scenarios were not played: .*torch>=2\.8"):
        Test("runTest").runTest()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(AssertionError, match="nothing may be left out"):
        Test("runTest").runTest()
