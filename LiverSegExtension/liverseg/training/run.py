"""A whole training run: cases, task, network, trainer; goes on from its last checkpoint."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from liverseg.errors import UsageError
from liverseg.networks.resnet_unet import load_imagenet_weights
from liverseg.training.beginning import Beginning, begin_with, has_coarser_outputs, read_beginning
from liverseg.training.burden import with_clinical_table
from liverseg.training.cached_cases import CachedCase, cached_names, load_cached, with_aorta
from liverseg.training.checkpoints import BEST, LAST, WholeCheckpoints, told_plainly
from liverseg.training.config import DataConfig, RunConfig
from liverseg.training.config_checks import check_config, check_grid, check_judging
from liverseg.training.kept_settings import further_name, keep_settings
from liverseg.training.lightning_parts import (
    Average,
    BestCheckpoints,
    EpochLog,
    TaskData,
    TaskModule,
    TimeBudget,
)
from liverseg.training.normalizing import foreground_statistics
from liverseg.training.persons import person_of
from liverseg.training.pictures import Pictures
from liverseg.training.roads import (
    described_network,
    make_task,
    task_facts,
)
from liverseg.training.sampling import Shares
from liverseg.training.splits import read_splits
from liverseg.training.tasks import Task

log = logging.getLogger(__name__)


def unseen_persons(data: DataConfig) -> set[str]:
    """Persons that nothing is learned from, in any form.

    Raises:
        InputRefused: the splits file is damaged.
        UsageError: it has no such part.
    """
    persons = {person_of(case) for case in data.exclude}
    if data.splits:
        persons |= read_splits(Path(data.splits)).unseen_persons(data.part)
    return persons


def judging_cases(held: list[str], data: DataConfig) -> list[str]:
    """The held-out cases that may judge while training: with a splits file those of its part alone."""
    if not data.splits:
        return held
    persons = set(read_splits(Path(data.splits)).part(data.part).persons)
    return [case for case in held if person_of(case) in persons]


def split_cases(names: list[str], data: DataConfig) -> tuple[list[str], list[str]]:
    """Cases to learn from and held-out ones; no person is in both.

    Persons that the splits file does not name are learned from, and so are made-up cases.

    Raises:
        UsageError: nothing is left to learn from, or a case to exclude is not there.
        InputRefused: the splits file is damaged.
    """
    unknown = sorted({person_of(c) for c in data.exclude} - {person_of(n) for n in names})
    if unknown:
        raise UsageError(f"data.exclude: no case of {', '.join(unknown)} in {data.cache}")
    left_out = unseen_persons(data)
    kept = [name for name in names if person_of(name) not in left_out]
    held = [name for name in names if person_of(name) in left_out]
    if not kept:
        raise UsageError("no case is left to learn from; hold out fewer")
    return kept, held


def further_cases(data: DataConfig, held: list[str]) -> dict[str, CachedCase]:
    """The cases of ``data.further`` by a name of their own, without those of held-out persons.

    Two folders may hold cases of one name, so each goes by its folder, too (``kept_settings.further_names``
    takes it away).

    Raises:
        InputRefused: a folder holds no case, or a damaged one.
    """
    left_out = unseen_persons(data) | {person_of(case) for case in held}
    cases = {
        further_name(name, folder): load_cached(Path(folder), name)
        for folder in data.further
        for name in cached_names(Path(folder))
        if person_of(name) not in left_out
    }
    # Tasks remember by this name where a case's patches lie.
    return {name: replace(case, case=name) for name, case in cases.items()}


def _task(config: RunConfig, names: list[str], further: dict[str, CachedCase] | None = None) -> Task:
    """The task over the named cases; without ``further`` (in a validation) it also plants nothing."""
    settings = config.task
    cases = {name: load_cached(Path(config.data.cache), name) for name in names}
    z, y, x = settings.patch
    return make_task(
        config,
        cases={**cases, **(further or {})},
        shares=Shares(settings.lesion, settings.liver, settings.anywhere),
        phantom_share=settings.phantom_share,
        patch=(z, y, x),
        further=tuple(further or ()),
        further_share=config.data.further_share,
        planted_share=0.0 if further is None else settings.planted,
        flip=tuple(settings.flip),
        aorta_share=settings.aorta,
        least_tissue=settings.least_tissue,
        device=_sample_device(config),
    )


def _sample_device(config: RunConfig) -> torch.device:
    """The GPU of this process where samples are made on it, or the CPU.

    Raises:
        UsageError: there is no GPU.
    """
    if not config.data.on_gpu:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UsageError(
            "data.on_gpu: PyTorch finds no GPU here; set data.on_gpu=false and trainer.accelerator=cpu"
        )
    # Lightning tells each process of a distributed run its number so.
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def _unlabeled_cases(config: RunConfig, held: list[str]) -> dict[str, CachedCase]:
    """The cases of ``teacher.unlabeled`` without those of held-out persons; none without a teacher.

    Raises:
        InputRefused: the folder holds no case.
        UsageError: all of its cases are held out.
    """
    folder = config.teacher.unlabeled
    if not folder:
        return {}
    cases = further_cases(replace(config.data, further=[folder]), held)
    if not cases:
        raise UsageError(f"teacher.unlabeled: every case in {folder} is of a held-out person")
    return cases


def _unlabeled_task(config: RunConfig, cases: dict[str, CachedCase]) -> Task:
    """The task over cases whose labels are not used."""
    z, y, x = config.task.patch
    shares = Shares(config.task.lesion, config.task.liver, config.task.anywhere)
    return make_task(
        config,
        cases=cases,
        shares=shares,
        phantom_share=0.0,
        patch=(z, y, x),
        least_tissue=config.task.least_tissue,
        device=_sample_device(config),
    )


def _normalization(config: RunConfig, kept: list[str]) -> dict[str, float] | None:
    """The foreground's, where the settings ask for it."""
    if config.network.normalization != "foreground":
        return None
    return foreground_statistics(load_cached(Path(config.data.cache), name) for name in kept).to_json()


def _beginning(config: RunConfig, folder: Path) -> Beginning | None:
    """What the run begins with; nothing where it goes on from its own checkpoint.

    Raises:
        InputRefused: ``begin_from`` is no run and no bundle.
    """
    if not config.begin_from or (folder / LAST).exists():
        return None
    return read_beginning(Path(config.begin_from), config.task.name)


def _coarser_outputs(config: RunConfig, folder: Path, beginning: Beginning | None) -> int:
    """As many as the settings ask for; none where the weights that the run goes on from have none."""
    last = folder / LAST
    if not config.task.deep_supervision:
        return 0
    if last.exists():
        state = WholeCheckpoints().load_checkpoint(last, map_location="cpu", weights_only=False)
        names = list(state["state_dict"])
    elif beginning is not None:
        names = list(beginning.weights)
    else:
        return config.task.deep_supervision
    if has_coarser_outputs(names):
        return config.task.deep_supervision
    log.info("begins with weights without outputs of coarser levels: it goes on without (deep_supervision 0)")
    return 0


def _loggers(config: RunConfig, folder: Path) -> list[Logger]:
    loggers: list[Logger] = [TensorBoardLogger(str(folder), name="", version="tensorboard")]
    if config.trainer.wandb:
        from lightning.pytorch.loggers import WandbLogger

        try:
            loggers.append(WandbLogger(name=folder.name, save_dir=str(folder)))
        except ModuleNotFoundError as error:
            raise UsageError(
                "trainer.wandb asks for the package wandb; install it or set it to false"
            ) from error
    return loggers


def _callbacks(config: RunConfig, folder: Path, validated: bool) -> list[Callback]:
    callbacks: list[Callback] = [Average(config.optimizer.average), EpochLog(folder / "log.csv")]
    if config.trainer.minutes:
        callbacks.append(TimeBudget(config.trainer.minutes))
    if config.trainer.pictures:
        callbacks.append(Pictures(config.trainer.pictures, config.seed, task_facts(config)))
    if validated:
        # Before the last checkpoint, which keeps what these two know.
        if config.trainer.patience:
            # At validations: an epoch that was cut short has none, and none that going on closes once more.
            callbacks.append(
                EarlyStopping("val_loss", patience=config.trainer.patience, check_on_train_epoch_end=False)
            )
        callbacks.append(
            BestCheckpoints(
                dirpath=folder / BEST,
                filename="{step}",
                monitor="val_loss",
                save_top_k=config.trainer.keep,
                enable_version_counter=False,
            )
        )
    callbacks.append(
        ModelCheckpoint(dirpath=folder, filename=LAST.removesuffix(".ckpt"), enable_version_counter=False)
    )
    return callbacks


def _trainer(config: RunConfig, folder: Path, validated: bool) -> pl.Trainer:
    """Lightning's trainer of a run.

    Raises:
        UsageError: this machine has not what the settings ask for.
    """
    settings = config.trainer
    try:
        return pl.Trainer(
            accelerator=settings.accelerator,
            devices=settings.devices,
            # Patches have few sizes: the search for a GPU's fastest way with each pays.
            benchmark=config.data.on_gpu,
            precision=cast(Any, settings.precision),
            max_steps=min(settings.steps, settings.stop_after or settings.steps),
            accumulate_grad_batches=settings.accumulate,
            reload_dataloaders_every_n_epochs=1,
            # TaskData gives each process of a distributed run its own samples.
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            logger=_loggers(config, folder),
            callbacks=_callbacks(config, folder, validated),
            plugins=[WholeCheckpoints()],
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
        )
    except MisconfigurationException as error:
        raise UsageError(
            f"trainer.accelerator={settings.accelerator}, trainer.devices={settings.devices}: "
            f"{' '.join(str(error).split())}; take what this machine has"
        ) from error


def train(config: RunConfig) -> Path:
    """Train, or go on from the run folder's last checkpoint; returns that checkpoint.

    Raises:
        UsageError: settings that cannot work, or that differ from those the run was begun with; a full disk.
        InputRefused: the cache holds no case, or the checkpoint is damaged.
        OutOfMemory: of the GPU or of the computer.
    """
    check_config(config)
    with told_plainly(Path(config.run)):
        return _train(config)


def _train(config: RunConfig) -> Path:
    for cache in (config.data.cache, *config.data.further, config.teacher.unlabeled):
        if cache:
            check_grid(config, Path(cache))
    kept, held = split_cases(cached_names(Path(config.data.cache)), config.data)
    unseen = unseen_persons(config.data) | {person_of(case) for case in held}
    judging = judging_cases(held, config.data)
    check_judging(config, judging)
    folder = Path(config.run)
    if config.task.aorta and not with_aorta(Path(config.data.cache)) & set(kept):
        raise UsageError("task.aorta: everybody whose aorta was drawn is held out; leave it at 0")
    further = further_cases(config.data, held)
    unlabeled = _unlabeled_cases(config, held)
    normalization = _normalization(config, kept)
    validated = bool(config.data.validate and judging)
    # Before anything is written: a package or a device may be missing.
    trainer = _trainer(config, folder, validated)
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    pl.seed_everything(config.seed)
    beginning = _beginning(config, folder)
    module = TaskModule(
        described_network(config, normalization),
        _coarser_outputs(config, folder, beginning),
        task_facts(config).foreground_from,
        config.optimizer,
        config.trainer.steps,
        config.teacher,
    )
    if config.network.pretrained:
        load_imagenet_weights(module.network, Path(config.network.pretrained))
    if beginning:
        begin_with(module.network, task_facts(config).classes, beginning, unseen)
    learning = _task(config, kept, further)
    judges = _task(config, judging) if validated else None
    others = _unlabeled_task(config, unlabeled) if unlabeled else None
    keep_settings(
        config,
        folder,
        kept,
        held,
        sorted({*further, *unlabeled}),
        normalization,
        beginning.facts() if beginning else None,
    )
    log.info("%d cases to learn from, %d held out", len(kept), len(held))
    log.info("%d further cases", len(further))
    told = with_clinical_table(learning, task_facts(config).classes, config.clinical, config.seed, folder)
    data = TaskData(told, judges, config, others)
    last = folder / LAST
    trainer.fit(module, datamodule=data, ckpt_path=str(last) if last.exists() else None, weights_only=False)
    return last
