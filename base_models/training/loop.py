"""The training loop of a base model over embedded clips.

Every epoch draws its order and its dropout from a seed of its own, so a run that was killed and resumed after any
epoch repeats the uninterrupted one bit for bit from weights, optimizer and history alone. The trap is selection: one
declared metric, on clips held out of the training split, decides both when to stop and which epoch is kept.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from base_models.config import BaseConfig
from base_models.errors import StackedMOSError
from base_models.metrics.evaluate import METRICS
from base_models.networks.batches import Embedded, shuffled
from base_models.networks.criteria import Criterion
from base_models.networks.models import Network
from base_models.training.checkpoints import (
    load_checkpoint,
    optimizer_tensors,
    prefixed,
    restore_optimizer,
    save_checkpoint,
    under,
)

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Task:
    """What a network is trained on.

    Parameters
    ----------
    clips : Embedded, n clips
    scores : float64 array (n, aspects); NaN is unlabelled and counts nowhere
    weights : float64 array (n,)
    train, validation : row numbers; the network sees the first and is selected on the second
    histograms : float64 array (n, aspects, bins) of single ratings, NaN where a clip has none; None for a criterion
        that does not read them
    """

    clips: Embedded
    scores: np.ndarray
    weights: np.ndarray
    train: Sequence[int]
    validation: Sequence[int]
    histograms: np.ndarray | None = None


@contextlib.contextmanager
def seeded(seed: int, device: torch.device):
    """The generators of the CPU and of `device` start from `seed` inside, and are as they were afterwards.

    Not `torch.manual_seed`: it would also move those of every other GPU.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif device.type == "mps":
            torch.mps.manual_seed(seed)
        yield


def _precision(device: torch.device):
    return (
        torch.autocast(device.type, torch.bfloat16)
        if device.type == "cuda"
        else contextlib.nullcontext()
    )


def train_network(
    model: Network,
    criterion: Criterion,
    task: Task,
    config: BaseConfig,
    seed: int,
    device: torch.device,
    checkpoint: Path | None = None,
    identity: str = "",
    on_epoch: Progress | None = None,
) -> list[dict[str, Any]]:
    """Train `model` in place and leave the weights of the chosen epoch in it (DORA-MOS, section II; no schedule).

    Parameters
    ----------
    checkpoint : file to write after every epoch and to resume from, or None
    identity : what the run is; a checkpoint of another identity is ignored
    on_epoch : called after every epoch with its record

    Returns
    -------
    history : one record per epoch: epoch, train_loss (the criterion's), loss and srcc on the validation clips, best
        (epoch so far), seconds; where the network has a loss of its own, also auxiliary (its mean over the batches)
        and weighted_auxiliary (the same times its weight, as it is optimised)

    Raises
    ------
    StackedMOSError
        when the loss is no longer finite.
    """
    model.to(device)
    if config.start_at_mean:
        _start_at_mean(model, criterion, task)
    optimizer = OPTIMIZERS[config.optimizer](model.parameters(), config)
    history, best = _resume(model, optimizer, checkpoint, identity)
    while not _finished(history, config):
        epoch = len(history) + 1
        started = time.monotonic()
        trained = _one_epoch(
            model, criterion, task, config, seed * 100_003 + epoch, optimizer, device
        )
        record = (
            {"epoch": epoch}
            | trained
            | _validate(model, criterion, task, config, device)
        )
        if not all(
            math.isfinite(value) for value in (*trained.values(), record["loss"])
        ):
            raise StackedMOSError(
                f"Training diverged: the loss is not finite after epoch {epoch}; lower learning_rate."
            )
        record["best"] = history[-1]["best"] if history else epoch
        if not history or _better(
            record, history[record["best"] - 1], config.select_on
        ):
            best, record["best"] = _copy(model), epoch
        record["seconds"] = round(time.monotonic() - started, 3)
        history.append(record)
        if checkpoint:
            save_checkpoint(
                checkpoint,
                _tensors(model, best, optimizer),
                {"identity": identity, "history": history},
            )
        if on_epoch:
            on_epoch(record)
    model.load_state_dict(best)
    return history


def _resume(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    checkpoint: Path | None,
    identity: str,
) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """History and best weights so far; the model and the optimizer stand where the checkpoint left them."""
    restored = load_checkpoint(checkpoint, identity) if checkpoint else None
    if not restored:
        return [], _copy(model)
    tensors, state = restored
    model.load_state_dict(under("model", tensors))
    restore_optimizer(optimizer, under("optimizer", tensors))
    return state["history"], under("best", tensors)


def _tensors(
    model: nn.Module, best: dict[str, Tensor], optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    parts = (
        prefixed("model", model.state_dict()),
        prefixed("optimizer", optimizer_tensors(optimizer)),
    )
    return prefixed("best", best) | parts[0] | parts[1]


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: tensor.detach().clone() for name, tensor in model.state_dict().items()
    }


def _finished(history: list[dict[str, Any]], config: BaseConfig) -> bool:
    return bool(history) and (
        len(history) >= config.max_epochs
        or len(history) - history[-1]["best"] >= config.patience
    )


def _better(record: dict[str, Any], best: dict[str, Any], select_on: str) -> bool:
    if select_on == "last":
        return True
    if select_on == "loss":
        return record["loss"] < best["loss"]
    return (_mean_srcc(record), -record["loss"]) > (
        _mean_srcc(best),
        -best["loss"],
    )  # few clips: ties, so the loss too


def _mean_srcc(record: dict[str, Any]) -> float:
    """Mean over aspects; an undefined one (a single clip, constant scores) counts 0, so that epochs stay comparable."""
    return sum(value or 0.0 for value in record["srcc"]) / len(record["srcc"])


OPTIMIZERS: dict[str, Callable[[Any, BaseConfig], torch.optim.Optimizer]] = {
    "adamw": lambda weights, config: torch.optim.AdamW(
        weights, lr=config.learning_rate, weight_decay=config.weight_decay
    ),
    "sgd": lambda weights, config: torch.optim.SGD(
        weights,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
    ),
}


@torch.no_grad()
def _start_at_mean(model: Network, criterion: Criterion, task: Task) -> None:
    """Set the last bias of every head to the weighted mean of its aspect's training scores."""
    scores, weights = task.scores[task.train], task.weights[task.train]
    for head, column in zip(model.heads, scores.T, strict=True):
        known = np.isfinite(column) & (weights > 0)
        head[-1].bias.fill_(
            criterion.raw(float(np.average(column[known], weights=weights[known])))
        )


def _one_epoch(
    model, criterion, task, config, seed, optimizer, device
) -> dict[str, float]:
    model.train()
    total = weight = 0.0
    own: list[float] = []
    with seeded(seed, device):
        for rows in shuffled(task.train, config.batch_size, seed):
            batch = task.clips.batch(rows).to(device)
            with _precision(device):
                logits = model(batch)
            losses, weights = _losses(criterion, logits, task, rows)
            share = (losses * weights).sum(0) / weights.sum(0).clamp_min(1e-12)
            loss = share.sum() if config.aspect_loss == "sum" else share.mean()
            auxiliary = model.auxiliary(batch)  # outside autocast: in full precision
            if auxiliary is not None:
                loss = loss + config.alignment_weight * auxiliary
                own.append(float(auxiliary.detach()))
            _step(model, optimizer, loss, config.clip_norm)
            total += float((losses.detach() * weights).sum())
            weight += float(weights.sum())
    record = {"train_loss": total / max(weight, 1e-12)}
    if own:
        record["auxiliary"] = sum(own) / len(own)
        record["weighted_auxiliary"] = config.alignment_weight * record["auxiliary"]
    return record


def _step(
    model: Network, optimizer: torch.optim.Optimizer, loss: Tensor, clip_norm: float
) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if clip_norm:
        for part in model.independent_parts():
            nn.utils.clip_grad_norm_(part.parameters(), clip_norm)
    optimizer.step()


def _losses(
    criterion: Criterion, logits: Tensor, task: Task, rows: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Loss and weight of each clip and aspect, both (B, aspects); the weight of an unlabelled one is 0."""
    scores = torch.from_numpy(task.scores[rows]).to(logits.device, torch.float32)
    labelled = ~scores.isnan()
    scores = scores.nan_to_num(0.0)  # any finite value: its weight is 0
    learnt = [scores]
    if task.histograms is not None:
        learnt.append(torch.from_numpy(task.histograms[rows]).to(scores))
    losses = [
        criterion.loss(logits[:, a], *(given[:, a] for given in learnt))
        for a in range(scores.shape[1])
    ]
    losses = torch.stack(losses, 1)
    weights = torch.from_numpy(task.weights[rows]).to(losses)
    return losses, labelled * weights[:, None]


@torch.inference_mode()
def raw_outputs(
    model: nn.Module, clips: Embedded, size: int, device: torch.device
) -> Tensor:
    """Logits of every clip, in row order, float32 on the CPU. Shape: (n, aspects, outputs).

    Always in full precision, so that a clip scores alike on every device and in every batch.
    """
    model.eval()
    parts, order = [], []
    for rows in clips.by_length(size):
        with torch.autocast(device.type, enabled=False):
            parts.append(model(clips.batch(rows).to(device)).cpu())
        order += rows
    return torch.cat(parts)[torch.argsort(torch.tensor(order))]


def _validate(model, criterion, task, config, device) -> dict[str, Any]:
    rows = list(task.validation)
    held_out = Embedded(
        [task.clips.frames[row] for row in rows],
        None if task.clips.tokens is None else [task.clips.tokens[row] for row in rows],
    )
    logits = raw_outputs(model, held_out, config.batch_size, device)
    losses, weights = _losses(criterion, logits, task, rows)
    loss = float((losses * weights).sum() / weights.sum().clamp_min(1e-12))
    if not math.isfinite(loss):  # diverged: there are no scores to rank
        return {"loss": loss, "srcc": [None] * task.scores.shape[1]}
    srcc = []
    for a in range(task.scores.shape[1]):
        truth = task.scores[rows, a]
        known = np.isfinite(truth)
        expected = config.bins.expected(criterion.distribution(logits[:, a]).numpy())
        value = METRICS["srcc"](truth[known], expected[known])
        srcc.append(round(float(value), 6) if math.isfinite(value) else None)
    return {"loss": loss, "srcc": srcc}
