"""Fine-tuning: a run begins with the weights of a run or a bundle, unless they saw whom it holds out."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from liverseg.bundle import read_bundle
from liverseg.errors import InputRefused, UsageError
from liverseg.training.beginning import has_coarser_outputs
from liverseg.training.config import DataConfig, OptimizerConfig, TaskConfig
from liverseg.training.export import export_bundle, trained_network
from liverseg.training.kept_settings import SETTINGS
from liverseg.training.run import train
from made_data import tiny_run, write_tiny_livers

pytestmark = pytest.mark.usefixtures("one_thread")

# A rate so low that a step leaves the weights where they were.
STILL = OptimizerConfig(warm_up=1, learning_rate=1e-9, weight_decay=0.0)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fine") / "cache"
    return write_tiny_livers(folder, ("lits_004", "lits_005", "ircad_02"))


@pytest.fixture(scope="module")
def first(cache, tmp_path_factory):
    """A trained run that held ircad_02 out."""
    run = tmp_path_factory.mktemp("first") / "run"
    train(tiny_run(cache, run))
    return run


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "last.ckpt", map_location="cpu", weights_only=False)["state_dict"]


def settings(run: Path) -> dict:
    return json.loads((run / SETTINGS).read_text(encoding="utf-8"))


def test_a_run_begins_with_the_weights_of_another_run(cache, first, tmp_path):
    train(tiny_run(cache, tmp_path / "fine", begin_from=str(first), optimizer=STILL, seed=7))
    for name, tensor in weights(tmp_path / "fine").items():
        torch.testing.assert_close(tensor, weights(first)[name], rtol=0, atol=1e-5, msg=name)


def test_without_a_beginning_another_seed_has_other_weights(cache, first, tmp_path):
    train(tiny_run(cache, tmp_path / "anew", optimizer=STILL, seed=7))
    name = "network.output_block.conv.conv.weight"
    assert not torch.allclose(weights(tmp_path / "anew")[name], weights(first)[name], atol=1e-2)


def test_a_run_begins_with_the_network_of_a_bundle(cache, first, tmp_path):
    export_bundle(tmp_path / "bundle", "a", {"stage2": first}, {})
    train(tiny_run(cache, tmp_path / "fine", begin_from=str(tmp_path / "bundle"), optimizer=STILL, seed=7))
    name = "network.output_block.conv.conv.weight"
    torch.testing.assert_close(weights(tmp_path / "fine")[name], weights(first)[name], rtol=0, atol=2e-3)


def test_a_run_that_begins_with_a_bundle_trains_no_coarser_outputs_beside_it_and_goes_on_so(
    cache, first, tmp_path, caplog
):
    assert has_coarser_outputs(weights(first))
    export_bundle(tmp_path / "bundle", "a", {"stage2": first}, {})
    fine = tiny_run(cache, tmp_path / "fine", begin_from=str(tmp_path / "bundle"), optimizer=STILL)
    with caplog.at_level("INFO", logger="liverseg"):
        train(replace(fine, trainer=replace(fine.trainer, stop_after=1, steps_an_epoch=1)))
    assert "goes on without (deep_supervision 0)" in caplog.text
    assert not has_coarser_outputs(weights(tmp_path / "fine"))
    train(replace(fine, trainer=replace(fine.trainer, steps_an_epoch=1)))
    assert not has_coarser_outputs(weights(tmp_path / "fine"))
    # So do runs that begin with this one, and one may leave them out by its own settings.
    train(tiny_run(cache, tmp_path / "finer", begin_from=str(tmp_path / "fine")))
    assert not has_coarser_outputs(weights(tmp_path / "finer"))
    alone = replace(fine.task, deep_supervision=0)
    train(tiny_run(cache, tmp_path / "alone", begin_from=str(first), task=alone))
    assert not has_coarser_outputs(weights(tmp_path / "alone"))


def test_weights_that_saw_a_person_who_is_held_out_are_refused_and_nothing_is_written(cache, first, tmp_path):
    other = DataConfig(cache=str(cache), workers=0, exclude=["lits_004"])
    with pytest.raises(UsageError, match="begin_from has learned from lits_004, whom this run holds out"):
        train(tiny_run(cache, tmp_path / "fine", begin_from=str(first), data=other))
    assert not (tmp_path / "fine").exists()


def test_persons_seen_before_the_beginning_are_never_unseen_again(cache, first, tmp_path):
    second = tmp_path / "second"
    both = DataConfig(cache=str(cache), workers=0, exclude=["ircad_02", "lits_005"])
    apart = tmp_path / "apart"
    train(tiny_run(cache, apart, data=both))
    narrow = DataConfig(cache=str(cache), workers=0, exclude=["lits_005"])
    train(tiny_run(cache, second, begin_from=str(apart), data=narrow))
    assert settings(second)["began_with"] == {"learned_from": ["lits_004"], "steps": 2}
    # A third run may hold nobody out whom any of the runs before it has seen.
    third = DataConfig(cache=str(cache), workers=0, exclude=["lits_004"])
    with pytest.raises(UsageError, match="lits_004"):
        train(tiny_run(cache, tmp_path / "third", begin_from=str(second), data=third))


def test_the_card_of_a_fine_tuned_network_names_all_persons_and_counts_all_steps(cache, first, tmp_path):
    alone = write_tiny_livers(tmp_path / "hospital", ("anna__1", "ircad_02"))
    mine = DataConfig(cache=str(alone), workers=0, exclude=["ircad_02"])
    train(tiny_run(cache, tmp_path / "fine", begin_from=str(first), data=mine))
    export_bundle(tmp_path / "bundle", "a", {"stage2": tmp_path / "fine"}, {})
    entry = json.loads((tmp_path / "bundle" / "card.json").read_text(encoding="utf-8"))["networks"]["stage2"]
    assert entry["learned_from"] == ["anna__1", "lits_004", "lits_005"]
    assert entry["training_steps"] == 4


def test_a_run_that_goes_on_keeps_its_weights_and_what_it_began_with(cache, first, tmp_path):
    shutil.copytree(first, tmp_path / "begin")
    fine = tiny_run(cache, tmp_path / "fine", begin_from=str(tmp_path / "begin"))
    parts = replace(fine.trainer, steps_an_epoch=1)
    train(replace(fine, trainer=replace(parts, stop_after=1)))
    # The beginning may be gone by then: the run's own checkpoint is all that it goes on from.
    shutil.rmtree(tmp_path / "begin")
    train(replace(fine, trainer=parts))
    assert settings(tmp_path / "fine")["began_with"]["steps"] == 2
    state = torch.load(tmp_path / "fine" / "last.ckpt", map_location="cpu", weights_only=False)
    assert state["global_step"] == 2


def test_a_run_goes_on_without_naming_its_beginning_again_and_refuses_another(cache, first, tmp_path):
    export_bundle(tmp_path / "bundle", "a", {"stage2": first}, {})
    fine = tiny_run(cache, tmp_path / "fine", begin_from=str(tmp_path / "bundle"))
    parts = replace(fine.trainer, steps_an_epoch=1)
    train(replace(fine, trainer=replace(parts, stop_after=1)))
    with pytest.raises(UsageError, match="leave begin_from out to go on") as refused:
        train(replace(fine, begin_from="/nonexistent", trainer=parts))
    assert "\n" not in str(refused.value)
    # The bundle gave no outputs of coarser levels, and so its run has none, whatever the call names.
    train(replace(fine, begin_from="", trainer=parts))
    told = settings(tmp_path / "fine")
    assert told["begin_from"] == str(tmp_path / "bundle")
    assert told["began_with"]["learned_from"] == ["lits_004", "lits_005"]
    anew = tiny_run(cache, tmp_path / "anew")
    train(anew)
    with pytest.raises(UsageError, match="began anew"):
        train(replace(anew, begin_from=str(first)))


def test_a_run_begun_anew_before_its_first_checkpoint_names_nobody_whom_it_never_saw(cache, first, tmp_path):
    hospital = DataConfig(cache=str(write_tiny_livers(tmp_path / "hospital", ("anna__1",))), workers=0)
    begun = tiny_run(cache, tmp_path / "fine", begin_from=str(first), data=hospital)
    train(begun)
    # As if it had been killed in its first epoch.
    (tmp_path / "fine" / "last.ckpt").unlink()
    train(replace(begun, begin_from=""))
    assert settings(tmp_path / "fine")["began_with"] is None
    _, entry = trained_network(tmp_path / "fine")
    assert entry["learned_from"] == ["anna__1"]


def test_weights_of_another_network_are_refused(cache, first, tmp_path):
    other = TaskConfig(name="stage2", patch=[16, 16, 16], filters=[4, 8, 12], deep_supervision=1)
    with pytest.raises(UsageError, match="begin_from is another network than this run's"):
        train(tiny_run(cache, tmp_path / "fine", begin_from=str(first), task=other))


@pytest.mark.parametrize("there", ["nothing", "a folder", "a bundle that does not say"])
def test_a_beginning_that_is_none_is_refused_in_one_line(cache, first, tmp_path, there):
    folder = tmp_path / "begin"
    if there == "a folder":
        folder.mkdir()
    if there == "a bundle that does not say":
        export_bundle(folder, "a", {"stage2": first}, {})
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        del card["networks"]["stage2"]["learned_from"]
        (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(InputRefused, match="begin_from: ") as refused:
        train(tiny_run(cache, tmp_path / "fine", begin_from=str(folder)))
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "fine").exists()


def test_views_go_into_the_card_and_those_that_make_no_average_leave_nothing(first, tmp_path):
    views = ((1.25, 0.4), (1.5, 0.6))
    export_bundle(tmp_path / "seen", "a", {"stage2": first}, {}, views=views)
    assert read_bundle(tmp_path / "seen").networks["stage2"].views == views
    with pytest.raises(UsageError, match="views: .*do not sum to 1"):
        export_bundle(tmp_path / "wrong", "a", {"stage2": first}, {}, views=((1.25, 0.4),))
    assert not (tmp_path / "wrong").exists()
