"""The training loop of a base model over embedded clips.

Every epoch draws its order and its dropout from a seed of its own. A run that was
killed and resumed after any epoch therefore repeats the uninterrupted run bit for bit,
from weights, optimizer and history alone. One declared metric, on clips held out of the
training split, decides both when to stop and which epoch is kept.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from base_models.config import BaseConfig
from base_models.errors import StackedMOSError
from base_models.metrics.evaluate import METRICS
from base_models.networks.batches import (
    Batch,
    EmbeddedClips,
    Labels,
    shuffled_batches,
)
from base_models.networks.criteria import (
    Criterion,
    Histogram,
    Invertible,
    RanksBatch,
)
from base_models.networks.heads import output_layer
from base_models.networks.models import Network
from base_models.training.checkpoints import (
    CheckpointFile,
    add_prefix,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
    strip_prefix,
)

Record = dict[str, Any]
"""What is known of one epoch: plain JSON values by name."""
EpochCallback = Callable[[Record], None]


@dataclass(frozen=True)
class TrainingTask:
    """What a network is trained on.

    Parameters
    ----------
    clips : EmbeddedClips
        n clips.
    scores : float64 array of shape (n, aspects)
        NaN is unlabelled and counts nowhere.
    weights : float64 array of shape (n,)
    train, validation : sequence of int
        Row numbers; the network is trained on the first and selected on the second,
        which is empty where nothing is selected.
    histograms : float64 array of shape (n, aspects, bins), or None
        Histograms of single ratings, NaN where a clip has none. None for a criterion
        that does not read them.
    prompted : bool array of shape (n,), or None
        Clips whose tokens are those of their prompt, and not of a placeholder; None
        says so of all.
    """

    clips: EmbeddedClips
    scores: np.ndarray
    weights: np.ndarray
    train: Sequence[int]
    validation: Sequence[int]
    histograms: np.ndarray | None = None
    prompted: np.ndarray | None = None


@dataclass(frozen=True)
class _Run:
    """What stays the same through all epochs of one training run."""

    model: Network
    criterion: Criterion
    task: TrainingTask
    config: BaseConfig
    optimizer: torch.optim.Optimizer
    seed: int
    device: torch.device


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Start the generators of the CPU and of `device` from `seed` in this context.

    Afterwards they are as they were before.
    """
    forked = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=forked):
        # `torch.manual_seed` would also move the generators of every other GPU.
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif device.type == "mps":
            torch.mps.manual_seed(seed)
        yield


def _precision(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Precision of the network's forward pass in training."""
    # Losses are computed in float32 and need no scaling, as bfloat16 has the range of
    # float32.
    if device.type == "cuda":
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


def train_network(
    model: Network,
    criterion: Criterion,
    task: TrainingTask,
    config: BaseConfig,
    seed: int,
    device: torch.device,
    checkpoint: CheckpointFile | None = None,
    on_epoch: EpochCallback | None = None,
) -> list[Record]:
    """Train `model` in place and leave the weights of the chosen epoch in it.

    There is no schedule of the learning rate, as in the published code of DORA-MOS.

    Parameters
    ----------
    model : Network
    criterion : Criterion
    task : TrainingTask
    config : BaseConfig
    seed : int
        Decides the order of clips and dropout.
    device : torch.device
    checkpoint : CheckpointFile or None
        Where to write after every epoch and to resume from.
    on_epoch : callable or None
        Called after every epoch with its record and the ``seconds`` that it took: in
        the history itself equal training is equal.

    Returns
    -------
    history : list of dict
        One record per epoch: epoch, train_loss (the criterion's per clip), loss and
        srcc on the validation clips (None without such clips), best (epoch so far).
        Where the network has a loss of its own, also auxiliary (its mean over the
        batches) and weighted_auxiliary (the same times its weight, as it is
        optimised); where the criterion ranks the clips of a batch, listwise and
        weighted_listwise likewise.

    Raises
    ------
    StackedMOSError
        when the loss is no longer finite.
    """
    # Before the optimizer is built: it keeps references to the parameters.
    model.to(device)
    if config.start_at_mean:
        _start_at_mean(model, criterion, task)
    optimizer = OPTIMIZERS[config.optimizer](model.parameters(), config)
    run = _Run(
        model=model,
        criterion=criterion,
        task=task,
        config=config,
        optimizer=optimizer,
        seed=seed,
        device=device,
    )
    return _run_epochs(run, checkpoint, on_epoch)


def _run_epochs(
    run: _Run,
    checkpoint: CheckpointFile | None,
    on_epoch: EpochCallback | None,
) -> list[Record]:
    """Train until the run is finished and load the weights of the best epoch."""
    history, best_weights = _resume(run, checkpoint)
    while not _finished(history, run.config):
        started = time.monotonic()
        record = _train_and_validate(run, epoch=len(history) + 1)

        record["best"] = _best_epoch(history, record, run.config.select_on)
        if record["best"] == record["epoch"]:
            best_weights = _copy_weights(run.model)

        seconds = round(time.monotonic() - started, 3)
        history.append(record)
        if checkpoint is not None:
            tensors = _checkpoint_tensors(run, best_weights)
            state = {"identity": checkpoint.identity, "history": history}
            save_checkpoint(checkpoint.path, tensors, state)
        # The caller may raise to stop; the epoch is on disk by then.
        if on_epoch is not None:
            on_epoch({**record, "seconds": seconds})

    run.model.load_state_dict(best_weights)
    return history


def _train_and_validate(run: _Run, epoch: int) -> Record:
    """Run one epoch and return its record, refusing a loss that is not finite."""
    # An epoch's seed depends on nothing that came before, so that a resumed run draws
    # the same numbers. The prime keeps epochs of neighbouring seeds apart.
    trained = _train_epoch(run, run.seed * 100_003 + epoch)
    validated = _validate(run)

    losses = list(trained.values())
    if validated["loss"] is not None:
        losses.append(validated["loss"])
    if not all(math.isfinite(loss) for loss in losses):
        raise StackedMOSError(
            f"Training diverged: the loss is not finite after epoch {epoch}; lower "
            "learning_rate."
        )
    return {"epoch": epoch, **trained, **validated}


def _resume(
    run: _Run, checkpoint: CheckpointFile | None
) -> tuple[list[Record], dict[str, Tensor]]:
    """Return the history and the best weights so far.

    Model and optimizer are left in the state of the checkpoint.
    """
    restored = None
    if checkpoint is not None:
        restored = load_checkpoint(checkpoint.path, checkpoint.identity)
    if restored is None:
        return [], _copy_weights(run.model)

    tensors, state = restored
    run.model.load_state_dict(strip_prefix("model", tensors))
    restore_optimizer(run.optimizer, strip_prefix("optimizer", tensors))
    return state["history"], strip_prefix("best", tensors)


def _checkpoint_tensors(
    run: _Run, best_weights: dict[str, Tensor]
) -> dict[str, Tensor]:
    return {
        **add_prefix("best", best_weights),
        **add_prefix("model", run.model.state_dict()),
        **add_prefix("optimizer", optimizer_tensors(run.optimizer)),
    }


def _copy_weights(model: nn.Module) -> dict[str, Tensor]:
    state = model.state_dict()
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def _finished(history: list[Record], config: BaseConfig) -> bool:
    epochs = len(history)
    if epochs == 0:
        return False
    if epochs >= config.max_epochs:
        return True
    return epochs - history[-1]["best"] >= config.patience


def _best_epoch(
    history: list[Record],
    record: Record,
    select_on: str,
) -> int:
    """Number of the best epoch once `record` follows `history`."""
    if not history:
        return record["epoch"]
    best_so_far = history[-1]["best"]
    if _is_better(record, history[best_so_far - 1], select_on):
        return record["epoch"]
    return best_so_far


def _is_better(
    record: Record,
    best: Record,
    select_on: str,
) -> bool:
    if select_on == "last":
        return True
    if select_on == "loss":
        return record["loss"] < best["loss"]

    # On few clips rank correlations are often equal; the loss then decides.
    rank = (_mean_srcc(record), -record["loss"])
    best_rank = (_mean_srcc(best), -best["loss"])
    return rank > best_rank


def _mean_srcc(record: Record) -> float:
    """Mean SRCC over aspects, where an undefined one counts 0.

    It is undefined for a single clip and for constant scores. Leaving it out would make
    epochs incomparable.
    """
    return sum(value or 0.0 for value in record["srcc"]) / len(record["srcc"])


OPTIMIZERS: dict[
    str, Callable[[Iterable[nn.Parameter], BaseConfig], torch.optim.Optimizer]
] = {
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
def _start_at_mean(
    model: Network,
    criterion: Criterion,
    task: TrainingTask,
) -> None:
    """Set the last bias of every head to its aspect's weighted mean training score."""
    if not isinstance(criterion, Invertible):
        raise TypeError(
            f"start_at_mean needs a scalar criterion; got {type(criterion).__name__}."
        )
    scores = task.scores[task.train]
    weights = task.weights[task.train]
    for head, column in zip(model.aspect_heads(), scores.T, strict=True):
        known = np.isfinite(column) & (weights > 0)
        mean = float(np.average(column[known], weights=weights[known]))
        output_layer(head).bias.fill_(criterion.raw(mean))


def _train_epoch(run: _Run, epoch_seed: int) -> dict[str, float]:
    """Train on every clip once and return the losses of the epoch."""
    model = run.model
    task = run.task
    config = run.config
    model.train()
    loss_sum = 0.0
    weight_sum = 0.0
    # Losses of whole batches, by name.
    batch_losses: dict[str, list[float]] = {}
    weight_of = {
        "auxiliary": config.alignment_weight,
        "listwise": config.listwise_weight,
    }

    with seeded(epoch_seed, run.device):
        for rows in shuffled_batches(task.train, config.batch_size, epoch_seed):
            batch = task.clips.batch(rows).to(run.device)
            with _precision(run.device):
                context = model.context(batch)
                logits = model(batch, context)
            labels = _labels(task, rows, run.device)
            losses = _losses(run.criterion, logits, labels, _histograms(task, rows))
            weights = labels.weights

            # The floor keeps an aspect without a label in this batch at a loss of 0.
            total_weights = weights.sum(0).clamp_min(1e-12)
            aspect_losses = (losses * weights).sum(0) / total_weights
            if config.aspect_loss == "sum":
                loss = aspect_losses.sum()
            else:
                loss = aspect_losses.mean()

            # Outside autocast, so that these losses have full precision.
            of_batch = {
                "auxiliary": _auxiliary(
                    run, rows, batch, context=context, labels=labels
                ),
                "listwise": _listwise(run, logits, labels),
            }
            for name, batch_loss in of_batch.items():
                if batch_loss is not None:
                    loss = loss + weight_of[name] * batch_loss
                    value = float(batch_loss.detach())
                    batch_losses.setdefault(name, []).append(value)

            _step(run, loss)
            loss_sum += float((losses.detach() * weights).sum())
            weight_sum += float(weights.sum())

    record = {"train_loss": loss_sum / max(weight_sum, 1e-12)}
    for name, values in batch_losses.items():
        mean = sum(values) / len(values)
        record[name] = mean
        record[f"weighted_{name}"] = weight_of[name] * mean
    return record


def _auxiliary(
    run: _Run,
    rows: Sequence[int],
    batch: Batch,
    *,
    context: Tensor | None,
    labels: Labels,
) -> Tensor | None:
    """Compute the network's own loss over the clips that have a prompt.

    It draws music and prompt together, so a placeholder must not take part.
    """
    prompted = run.task.prompted
    if prompted is None or prompted[rows].all():
        return run.model.auxiliary(batch, context, labels)
    rows_with_prompt = [row for row in rows if prompted[row]]
    if not rows_with_prompt:
        return None
    batch = run.task.clips.batch(rows_with_prompt).to(run.device)
    labels = _labels(run.task, rows_with_prompt, run.device)
    return run.model.auxiliary(batch, labels=labels)


def _listwise(
    run: _Run,
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


def _step(run: _Run, loss: Tensor) -> None:
    """Take one step of the optimizer down the gradient of `loss`."""
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if run.config.clip_norm:
        for part in run.model.independent_parts():
            nn.utils.clip_grad_norm_(part.parameters(), run.config.clip_norm)
    run.optimizer.step()


def _labels(
    task: TrainingTask,
    rows: Sequence[int],
    device: torch.device,
) -> Labels:
    """Labels of some rows; the weight of an unlabelled one is 0."""
    scores = torch.from_numpy(task.scores[rows]).to(device, torch.float32)
    labelled = ~scores.isnan()
    weights = torch.from_numpy(task.weights[rows]).to(scores)
    # Any finite value serves in place of a missing score.
    return Labels(scores.nan_to_num(0.0), labelled * weights[:, None])


def _histograms(task: TrainingTask, rows: Sequence[int]) -> Tensor | None:
    """Histograms of single ratings: (rows, aspects, bins), or None."""
    if task.histograms is None:
        return None
    return torch.from_numpy(task.histograms[rows])


def _losses(
    criterion: Criterion,
    logits: Tensor,
    labels: Labels,
    histograms: Tensor | None,
) -> Tensor:
    """Compute the loss of each clip and aspect.

    Shape: logits (B, aspects, outputs), histograms (B, aspects, bins) → (B, aspects)
    """
    scores = labels.scores
    if histograms is None:
        aspect_losses = [
            criterion.loss(logits[:, aspect], scores[:, aspect])
            for aspect in range(scores.shape[1])
        ]
        return torch.stack(aspect_losses, 1)

    if not isinstance(criterion, Histogram):
        raise TypeError(
            f"{type(criterion).__name__} does not read histograms of ratings."
        )
    histograms = histograms.to(scores)
    aspect_losses = [
        criterion.loss(logits[:, aspect], scores[:, aspect], histograms[:, aspect])
        for aspect in range(scores.shape[1])
    ]
    return torch.stack(aspect_losses, 1)


@torch.inference_mode()
def raw_outputs(
    model: nn.Module,
    clips: EmbeddedClips,
    size: int,
    device: torch.device,
) -> Tensor:
    """Compute the logits of every clip, in row order, as float32 on the CPU.

    They are computed in full precision, so that a clip scores alike on every device and
    in every batch.

    Parameters
    ----------
    model : nn.Module
    clips : EmbeddedClips
    size : int
        Clips computed together.
    device : torch.device

    Shape: n clips → (n, aspects, outputs)
    """
    model.eval()
    logits = []
    order: list[int] = []
    for rows in clips.by_length(size):
        with torch.autocast(device.type, enabled=False):
            logits.append(model(clips.batch(rows).to(device)).cpu())
        order.extend(rows)

    # `order` says which row each output belongs to; its inverse sorts them by row.
    position_of_row = torch.argsort(torch.tensor(order))
    return torch.cat(logits)[position_of_row]


def _validate(run: _Run) -> Record:
    """Loss over the validation clips, and SRCC of each aspect (None if undefined).

    The loss is the criterion's per clip: what ranks or aligns a batch is left out, as
    it depends on the batch.
    """
    task = run.task
    config = run.config
    rows = list(task.validation)
    n_aspects = task.scores.shape[1]
    if not rows:
        return {"loss": None, "srcc": [None] * n_aspects}
    logits = raw_outputs(
        run.model, task.clips.take(rows), config.batch_size, device=run.device
    )

    labels = _labels(task, rows, logits.device)
    losses = _losses(run.criterion, logits, labels, _histograms(task, rows))
    weights = labels.weights
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
        expected = config.bins.expected(distributions)
        srcc = METRICS["srcc"](truth[known], expected[known])
        correlations.append(round(float(srcc), 6) if math.isfinite(srcc) else None)
    return {"loss": loss, "srcc": correlations}
