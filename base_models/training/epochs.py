"""One epoch of training, and what is measured after it.

Nothing here reads a number of the device before the epoch ends: an accelerator is
given work without a pause, and the host waits for it once an epoch.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from base_models.config import BaseConfig
from base_models.metrics.evaluate import METRICS
from base_models.networks.batches import Batch, Labels, TrainingClips, shuffled_batches
from base_models.networks.criteria import Criterion, RanksBatch
from base_models.networks.models import Network
from base_models.precision.modes import full_precision
from base_models.training.task import Targets, TrainingTask
from base_models.training.transfer import fetch, row_numbers

Record = dict[str, Any]
"""What is known of one epoch: plain JSON values by name."""


@dataclass(frozen=True)
class Run:
    """What stays the same through all epochs of one training run.

    Parameters
    ----------
    model : Network
        On the device.
    criterion : Criterion
    task : TrainingTask
        Its clips give batches of the device.
    targets : Targets
        Of all clips, on the device.
    held_out : Targets
        Of the validation clips, on the CPU.
    config : BaseConfig
    optimizer : torch.optim.Optimizer
    seed : int
    device : torch.device
    frame_terms : Tensor of shape (n,), or None
        `Network.frame_terms` of all clips that are trained on, on the device.
    """

    model: Network
    criterion: Criterion
    task: TrainingTask
    targets: Targets
    held_out: Targets
    config: BaseConfig
    optimizer: torch.optim.Optimizer
    seed: int
    device: torch.device
    frame_terms: Tensor | None = None


@dataclass(frozen=True)
class _Step:
    """The clips of one step of the optimizer, on the device."""

    rows: Sequence[int]
    batch: Batch
    targets: Targets


class _Losses:
    """Losses of the steps of an epoch, left on the device until they are asked for."""

    def __init__(self) -> None:
        self.values: dict[str, list[Tensor]] = {}

    def add(self, name: str, value: Tensor) -> None:
        """Note the loss of one step. Shape: value ()"""
        self.values.setdefault(name, []).append(value.detach())

    def stacked(self) -> dict[str, Tensor]:
        """The losses of each name, in the order of the steps."""
        return {name: torch.stack(values) for name, values in self.values.items()}


def run_epoch(run: Run, order_seed: int) -> tuple[Record, Record]:
    """Train on every clip once, then measure the validation clips.

    Returns
    -------
    trained : dict
        train_loss; auxiliary, listwise and their weighted forms where there are any.
    validated : dict
        loss and srcc.
    """
    losses = _train(run, order_seed).stacked()
    on_device = list(losses.values())
    rows = list(run.task.validation)
    if rows:
        held_out = run.task.clips.take(rows)
        logits = outputs_on_device(run.model, held_out, run.config.batch_size)
        on_device.append(logits)

    fetched = fetch(on_device)
    values = {
        name: tensor.tolist() for name, tensor in zip(losses, fetched, strict=False)
    }
    trained = _training_record(values, run.config)
    return trained, _validation_record(run, rows, fetched[-1])


def _train(run: Run, order_seed: int) -> _Losses:
    """Train on every clip once and return the losses of all steps."""
    run.model.train()
    losses = _Losses()
    for step in _steps(run, order_seed):
        _train_step(run, step, losses)
    return losses


def _steps(run: Run, order_seed: int) -> Iterator[_Step]:
    """Yield the steps of an epoch."""
    plan = list(
        shuffled_batches(run.task.train, run.config.batch_size, seed=order_seed)
    )
    # All row numbers are copied to the device at once.
    order = row_numbers([row for rows in plan for row in rows], run.device)
    of_steps = order.split([len(rows) for rows in plan])
    batches = run.task.clips.batches(plan)
    for rows, there, batch in zip(plan, of_steps, batches, strict=True):
        yield _Step(
            rows,
            batch=_with_frame_terms(run, batch, there),
            targets=run.targets.take(there),
        )


def _with_frame_terms(run: Run, batch: Batch, there: Tensor) -> Batch:
    """The batch, with what is known of its clips beforehand."""
    batch = batch.to(run.device)
    if run.frame_terms is None:
        return batch
    return replace(batch, frame_terms=run.frame_terms.index_select(0, there))


def _train_step(run: Run, step: _Step, losses: _Losses) -> None:
    """Take one step of the optimizer down the gradient of the loss of a batch."""
    config = run.config
    labels = step.targets.labels
    with _precision(run.device):
        context = run.model.context(step.batch)
        logits = run.model(step.batch, context)
    clip_losses = step.targets.losses(run.criterion, logits)
    weights = labels.weights

    # The floor keeps an aspect without a label in this batch at a loss of 0.
    total_weights = weights.sum(0).clamp_min(1e-12)
    aspect_losses = (clip_losses * weights).sum(0) / total_weights
    if config.aspect_loss == "sum":
        loss = aspect_losses.sum()
    else:
        loss = aspect_losses.mean()

    # Outside autocast, so that these losses have full precision.
    of_batch = {
        "auxiliary": _auxiliary(run, step, context),
        "listwise": _listwise(run, logits, labels),
    }
    weight_of = _weight_of(config)
    for name, batch_loss in of_batch.items():
        if batch_loss is not None:
            loss = loss + weight_of[name] * batch_loss
            losses.add(name, batch_loss)

    _descend(run, loss)
    losses.add("sum", (clip_losses.detach() * weights).sum())
    losses.add("weight", weights.sum())


def _weight_of(config: BaseConfig) -> dict[str, float]:
    """Weights of the losses of whole batches, by name."""
    return {
        "auxiliary": config.alignment_weight,
        "listwise": config.listwise_weight,
    }


def _precision(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Precision of the network's forward pass in training."""
    # Losses are computed in float32 and need no scaling, as bfloat16 has the range of
    # float32.
    if device.type == "cuda":
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


def _auxiliary(run: Run, step: _Step, context: Tensor | None) -> Tensor | None:
    """Compute the network's own loss over the clips that have a prompt.

    It draws music and prompt together, so a placeholder must not take part.
    """
    prompted = run.task.prompted
    if prompted is None or prompted[step.rows].all():
        return run.model.auxiliary(step.batch, context, step.targets.labels)
    rows_with_prompt = [row for row in step.rows if prompted[row]]
    if not rows_with_prompt:
        return None
    there = row_numbers(rows_with_prompt, run.device)
    batch = run.task.clips.batch(rows_with_prompt)
    return run.model.auxiliary(
        _with_frame_terms(run, batch, there), labels=run.targets.take(there).labels
    )


def _listwise(
    run: Run,
    logits: Tensor,
    labels: Labels,
) -> Tensor | None:
    """Ranking loss of a batch over the audio aspects, before its weight.

    None where the criterion has none, or no aspect is judged by the audio alone.
    """
    criterion = run.criterion
    if not isinstance(criterion, RanksBatch) or not run.config.listwise_weight:
        return None
    losses = [
        criterion.batch_loss(
            logits[:, aspect], labels.scores[:, aspect], labels.weights[:, aspect]
        )
        for aspect, needs_text in enumerate(run.model.needs_text)
        if not needs_text
    ]
    if not losses:
        return None

    # Together as the aspects' other losses are.
    stacked = torch.stack(losses)
    return stacked.sum() if run.config.aspect_loss == "sum" else stacked.mean()


def _descend(run: Run, loss: Tensor) -> None:
    """Take one step of the optimizer down the gradient of `loss`."""
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if run.config.clip_norm:
        for part in run.model.independent_parts():
            nn.utils.clip_grad_norm_(part.parameters(), run.config.clip_norm)
    run.optimizer.step()


def frame_terms_of(
    model: Network, clips: TrainingClips, rows: Sequence[int], size: int
) -> Tensor | None:
    """Compute what the network's own loss knows of frames before it is trained.

    Parameters
    ----------
    model : Network
        On the device of the batches of `clips`.
    clips : TrainingClips
        n clips.
    rows : sequence of int
        Clips that are trained on.
    size : int
        Clips computed together.

    Returns
    -------
    terms : Tensor of shape (n,), or None
        0 for other clips; None where the network has no such terms.
    """
    if not model.has_frame_terms:
        return None
    chosen = clips.take(rows)
    plan = list(chosen.by_length(size))
    terms = [model.frame_terms(batch) for batch in chosen.batches(plan)]

    together = torch.cat(terms)
    order = [rows[place] for places in plan for place in places]
    of_all = together.new_zeros(len(clips))
    return of_all.index_copy_(0, row_numbers(order, together.device), together)


@torch.inference_mode()
def outputs_on_device(
    model: nn.Module,
    clips: TrainingClips,
    size: int,
) -> Tensor:
    """Compute the logits of every clip, in row order, as float32.

    They are computed in full precision, so that a clip scores alike on every device and
    in every batch.

    Parameters
    ----------
    model : nn.Module
        On the device of the batches of `clips`.
    clips : TrainingClips
    size : int
        Clips computed together.

    Shape: n clips → (n, aspects, outputs)
    """
    model.eval()
    logits = []
    plan = list(clips.by_length(size))
    for batch in clips.batches(plan):
        with full_precision(str(batch.frames.device)):
            logits.append(model(batch))

    # The plan says which row each output belongs to; its inverse sorts them by row.
    inverse = np.argsort(np.concatenate(plan)).tolist()
    together = torch.cat(logits)
    return together.index_select(0, row_numbers(inverse, together.device))


def _training_record(values: dict[str, list[float]], config: BaseConfig) -> Record:
    """Mean losses of an epoch, from those of its steps."""
    weight_sum = sum(values["weight"])
    record = {"train_loss": sum(values["sum"]) / max(weight_sum, 1e-12)}
    for name, weight in _weight_of(config).items():
        if name in values:
            mean = sum(values[name]) / len(values[name])
            record[name] = mean
            record[f"weighted_{name}"] = weight * mean
    return record


def _validation_record(run: Run, rows: list[int], logits: Tensor) -> Record:
    """Loss over the validation clips, and SRCC of each aspect (None if undefined).

    The loss is the criterion's per clip: what ranks or aligns a batch is left out, as
    it depends on the batch.
    """
    task = run.task
    n_aspects = task.scores.shape[1]
    if not rows:
        return {"loss": None, "srcc": [None] * n_aspects}

    losses = run.held_out.losses(run.criterion, logits)
    weights = run.held_out.labels.weights
    loss = float((losses * weights).sum() / weights.sum().clamp_min(1e-12))
    if not math.isfinite(loss):
        # A diverged network has no scores to rank.
        return {"loss": loss, "srcc": [None] * n_aspects}

    correlations = []
    for aspect in range(n_aspects):
        # The expected score ranks clips as the decoded one does, without its clipping
        # at the ends of the scale.
        truth = task.scores[rows, aspect]
        known = np.isfinite(truth)
        distributions = run.criterion.distribution(logits[:, aspect]).numpy()
        expected = run.config.bins.expected(distributions)
        srcc = METRICS["srcc"](truth[known], expected[known])
        correlations.append(round(float(srcc), 6) if math.isfinite(srcc) else None)
    return {"loss": loss, "srcc": correlations}
