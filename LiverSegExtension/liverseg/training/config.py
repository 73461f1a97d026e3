"""What a training run is made of, as typed settings that Hydra fills from ``scripts/configs``."""

from __future__ import annotations

from dataclasses import dataclass, field

from liverseg.training.road_config import NetworkConfig, ScanConfig, TeacherConfig


@dataclass
class DataConfig:
    """Which cases are learned from.

    Attributes:
        cache: folder of cached cases for this task (``scripts/prepare_data.py`` writes it).
        splits: file of ``scripts/split_data.py``; empty to train on all cases.
        part: the part of it that is held out: a fold's number, or "val" or "test".
        exclude: further cases whose persons are left out.
        further: cache folders of cases beside the labeled ones (pseudo-labels, hard negatives), from
            ``scripts/make_pseudo_labels.py``; those of held-out persons are left out.
        further_share: how often one of these is drawn.
        validate: held-out cases scored by their loss while training; 0 for none.
        workers: processes that draw samples.
        pinned: samples come in page-locked memory, from which a GPU copies faster (where there is one).
        persistent: the workers live on from epoch to epoch.
        on_gpu: keep the cases in the GPU's memory and make the samples there, without workers: many times
            faster than a few CPU cores can feed a GPU.
    """

    cache: str = "???"
    splits: str = ""
    part: str = "0"
    exclude: list[str] = field(default_factory=list)
    further: list[str] = field(default_factory=list)
    further_share: float = 0.2
    validate: int = 0
    workers: int = 1
    pinned: bool = True
    persistent: bool = True
    on_gpu: bool = False


@dataclass
class TaskConfig:
    """The task and its network.

    Attributes:
        name: a key of ``liverseg.training.tasks.TASKS``, or "scan" for what ``scan`` says.
        patch: (z, y, x) in voxels.
        lesion, liver, anywhere: shares of patches, see ``sampling.Shares``.
        phantom_share: how often a made-up case is drawn.
        least_tissue: share of a patch that must be no air; emptier ones are dropped and drawn anew (0: none).
        planted: share of stage 2's patches that get made-up lesions.
        flip: axes (0 z, 1 y, 2 x) along which half of stage 2's patches are mirrored.
        aorta: share of stage 1's patches from scans whose aorta somebody drew, and a class of its own for
            it; 0 for a network that knows no aorta.
        filters: of each level of the network.
        kernels: (z, y, x) of each level; empty for 3 x 3 x 3.
        deep_supervision: coarser levels that give an output of their own while training.
    """

    name: str = "???"
    patch: list[int] = field(default_factory=lambda: [64, 96, 96])
    lesion: float = 0.5
    liver: float = 0.4
    anywhere: float = 0.1
    phantom_share: float = 0.1
    least_tissue: float = 0.0
    planted: float = 0.0
    flip: list[int] = field(default_factory=list)
    aorta: float = 0.0
    filters: list[int] = field(default_factory=lambda: [16, 32, 64, 128, 192])
    kernels: list[list[int]] = field(default_factory=list)
    deep_supervision: int = 2


@dataclass
class OptimizerConfig:
    """How the weights move.

    Attributes:
        loss: a key of ``liverseg.training.losses.LOSSES``.
        name: "adamw", "adam" or "sgd" (Nesterov's, with ``momentum``).
        learning_rate: after the warm-up.
        schedule: how it falls: "poly" (by a power of 0.9 to zero at the last step), "cosine" (to zero),
            "step" (times ``step_factor`` after each ``step_every`` steps), "plateau" (times ``step_factor``
            when the validation loss has not fallen for ``step_every`` epochs) or "constant".
        average: decay of the exponential moving average that becomes the model.
        clip: largest norm of a gradient.
        class_weights: of the weighted cross-entropy, one a class; empty for weights by rarity.
        boundary, blobs: weights of these terms in the losses "boundary" and "size_aware".
        redrawing, divergence: weights of the two terms of SegResNetVAE's branch.
    """

    loss: str = "dice_ce"
    name: str = "adamw"
    schedule: str = "poly"
    step_every: int = 1000
    step_factor: float = 0.1
    momentum: float = 0.99
    class_weights: list[float] = field(default_factory=list)
    boundary: float = 0.1
    blobs: float = 1.0
    redrawing: float = 0.1
    divergence: float = 0.1
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warm_up: int = 40
    average: float = 0.995
    clip: float = 5.0


@dataclass
class TrainerConfig:
    """How long, and on what.

    Attributes:
        steps: optimizer steps in all.
        minutes: of training in all; the learning rate falls with them as it does with the steps, whichever
            end is nearer. 0 for no such end.
        stop_after: end this call after so many of the steps; a later call goes on. 0 for all.
        batch: samples a forward pass. On a CPU one, which keeps the fast layout.
        accumulate: forward passes a step.
        steps_an_epoch: a checkpoint, a line of the log and a validation come after so many steps.
        precision: Lightning's name: "bf16-mixed", "16-mixed" or "32-true".
        accelerator: "cpu", "gpu" or "auto".
        devices: how many GPUs (Lightning's DDP for more than one).
        keep: checkpoints kept besides the last one, the best by validation loss.
        patience: validations without gain before training stops; 0 for never.
        pictures: samples whose Dice and pictures are logged each epoch; 0 for none.
        wandb: also log to Weights & Biases (needs the wandb package).
        threads: of PyTorch in the training process; 0 for its own choice.
    """

    steps: int = 1000
    minutes: float = 0.0
    stop_after: int = 0
    batch: int = 1
    accumulate: int = 2
    steps_an_epoch: int = 100
    precision: str = "bf16-mixed"
    accelerator: str = "cpu"
    devices: int = 1
    keep: int = 1
    patience: int = 0
    pictures: int = 4
    wandb: bool = False
    threads: int = 0


@dataclass
class ClinicalConfig:
    """Weak supervision by a clinical table (docs/clinical-supervision.md).

    Attributes:
        table: .csv, .tsv or .xlsx with one row a patient; empty for none.
        target: "burden" (fitted on the labeled burdens themselves) or "stage" (an indicator of stage first).
        weight: of the term, times the variance that the table explains of persons left out.
        tolerance: deviations of the fit within which a burden costs nothing.
        columns: the column of a variable where the table names it otherwise, such as {size: "Diameter (cm)"}.
    """

    table: str = ""
    target: str = "burden"
    weight: float = 0.1
    tolerance: float = 1.0
    columns: dict[str, str] = field(default_factory=dict)


@dataclass
class RunConfig:
    """A whole run.

    Attributes:
        run: folder of its checkpoints and logs.
        seed: of what is drawn.
        begin_from: folder of another run or of a bundle whose weights this one begins with; empty to begin
            anew. Persons that this run holds out must be unseen by it.
    """

    run: str = "???"
    seed: int = 1
    begin_from: str = ""
    data: DataConfig = field(default_factory=DataConfig)
    task: TaskConfig = field(default_factory=TaskConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    scan: ScanConfig = field(default_factory=ScanConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    clinical: ClinicalConfig = field(default_factory=ClinicalConfig)
