"""The training loop: bf16, averaged weights, a checkpoint every few minutes, and on from the last one."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from liverseg.networks import build_network
from liverseg.training.tasks import TASKS, Cache, loss

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train.

    Attributes:
        steps: optimizer steps in all.
        accumulate: samples a step (one forward pass each: the layouts stay channels-last on a CPU).
        learning_rate: after the warm-up; falls to zero by a power of 0.9.
        average: decay of the exponential moving average that becomes the model.
        seed: decides every sample of every step, also after going on from a checkpoint.
        bf16: compute in bf16, several times faster where the processor has it; float32 otherwise.
    """

    steps: int
    accumulate: int = 2
    learning_rate: float = 2e-3
    warm_up: int = 40
    average: float = 0.995
    seed: int = 1
    checkpoint_every: int = 50
    bf16: bool = True


def train(
    task_name: str,
    cache: Cache,
    plan: Plan,
    run: Path,
    device: str = "cpu",
    stop_after: int | None = None,
) -> torch.nn.Module:
    """Train, or go on from ``run/last.ckpt``; returns the averaged network.

    Args:
        task_name: a key of ``TASKS``.
        cache: the training cases alone.
        run: folder for ``last.ckpt`` and ``log.csv``.
        stop_after: end this call after so many steps of the plan; a later call goes on.
    """
    task_class, description, foreground_from = TASKS[task_name]
    task = task_class(cache)
    torch.manual_seed(plan.seed)
    network = build_network(description).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=1e-4)
    average = torch.optim.swa_utils.AveragedModel(network, avg_fn=partial(_moving_average, plan.average))
    run.mkdir(parents=True, exist_ok=True)
    checkpoint = run / "last.ckpt"
    start = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
        log.info("going on from step %d", start)
    began, running = time.monotonic(), 0.0
    end = plan.steps if stop_after is None else min(plan.steps, stop_after)
    for step in range(start, end):
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * min((step + 1) / plan.warm_up, (1 - step / plan.steps) ** 0.9)
        total = 0.0
        for part in range(plan.accumulate):
            sample = task.sample(np.random.default_rng((plan.seed, step, part)))
            inputs = sample.inputs[None].to(device).contiguous(memory_format=torch.channels_last_3d)
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=plan.bf16):
                logits = network(inputs)
            target, counted = sample.target.to(device), sample.counted.to(device)
            error = loss(logits, target, counted, foreground_from) / plan.accumulate
            error.backward()
            total += float(error.detach())
        size = torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        if torch.isfinite(size):
            optimizer.step()
        else:
            log.warning("%s step %d: the gradient is not finite; the step is left out", task_name, step + 1)
        optimizer.zero_grad(set_to_none=True)
        average.update_parameters(network)
        running = total if step == start else 0.98 * running + 0.02 * total
        if (step + 1) % plan.checkpoint_every == 0 or step + 1 == end:
            seconds = (time.monotonic() - began) / (step + 1 - start)
            log.info("%s step %d loss %.4f, %.2f s a step", task_name, step + 1, running, seconds)
            with (run / "log.csv").open("a", encoding="utf-8") as file:
                file.write(f"{step + 1},{running:.5f},{seconds:.3f}\n")
            state = {
                "network": network.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step + 1,
            }
            torch.save(state, run / "last.tmp")
            (run / "last.tmp").replace(checkpoint)
    return average.module


def _moving_average(
    decay: float, average: torch.Tensor, parameter: torch.Tensor, count: torch.Tensor | int
) -> torch.Tensor:
    """An exponential moving average that starts fast, so that the first weights are soon forgotten."""
    now = min(decay, (1 + int(count)) / (10 + int(count)))
    return torch.lerp(average, parameter, 1 - now)
