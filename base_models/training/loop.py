"""The training loop of a base model over embedded clips.

Every epoch draws its order and its dropout from a seed of its own. A run that was
killed and resumed after any epoch therefore repeats the uninterrupted run bit for bit,
from weights, optimizer and history alone. One declared metric, on clips held out of the
training split, decides both when to stop and which epoch is kept.
"""

from __future__ import annotations

import functools
import logging
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from base_models.config import BaseConfig
from base_models.devices import seeded
from base_models.encoders.memory import is_out_of_memory, release_memory
from base_models.errors import StackedMOSError
from base_models.networks.batches import TrainingClips
from base_models.networks.criteria import Criterion, Invertible
from base_models.networks.heads import output_layer
from base_models.networks.models import Network
from base_models.training.checkpoint_writer import CheckpointWriter
from base_models.training.checkpoints import (
    CheckpointFile,
    add_prefix,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    strip_prefix,
)
from base_models.training.device_clips import ResidentClips, clips_on
from base_models.training.epochs import (
    Record,
    Run,
    frame_terms_of,
    outputs_on_device,
    run_epoch,
)
from base_models.training.full_memory import naming_full_memory
from base_models.training.task import Targets, TrainingTask

EpochCallback = Callable[[Record], None]

log = logging.getLogger(__name__)


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
        Where to write, as `CheckpointWriter` does, and to resume from. On the CPU a
        resumed run ends with the numbers of one that was never stopped.
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
    UsageError
        when the device has no memory for a batch.
    """

    def train(clips: TrainingClips) -> list[Record]:
        """Train on the clips, which are on the device or are copied there."""
        run = _prepared_run(
            model,
            criterion,
            replace(task, clips=clips),
            config=config,
            seed=seed,
            device=device,
        )
        return _run_epochs(run, checkpoint, on_epoch)

    with naming_full_memory(device, config.batch_size):
        clips = clips_on(task.clips, device, often=True)
        if isinstance(clips, ResidentClips):
            start = _copy_weights(model)
            try:
                return train(clips)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            # Outside of the handler, whose traceback holds what has filled the memory.
            clips = clips_on(task.clips, device, often=False)
            release_memory(str(device))
            log.warning(
                "%s has no memory for a batch beside all embeddings; they are copied "
                "there batch by batch, and training goes on from its checkpoint.",
                device,
            )
            model.load_state_dict(start)
        return train(clips)


def _prepared_run(
    model: Network,
    criterion: Criterion,
    task: TrainingTask,
    *,
    config: BaseConfig,
    seed: int,
    device: torch.device,
) -> Run:
    """Make what stays the same through all epochs: network, targets and optimizer."""
    # Before the optimizer is built: it keeps references to the parameters.
    model.to(device)
    if config.start_at_mean:
        _start_at_mean(model, criterion, task)
    targets = Targets.of(task, criterion)
    return Run(
        model=model,
        criterion=criterion,
        task=task,
        targets=targets.to(device),
        held_out=targets.take(torch.tensor(list(task.validation), dtype=torch.int64)),
        config=config,
        optimizer=OPTIMIZERS[config.optimizer](model.parameters(), config, device),
        seed=seed,
        device=device,
        frame_terms=frame_terms_of(
            model, task.clips, task.train, size=config.batch_size
        ),
    )


def _run_epochs(
    run: Run,
    checkpoint: CheckpointFile | None,
    on_epoch: EpochCallback | None,
) -> list[Record]:
    """Train until the run is finished and load the weights of the best epoch."""
    history, best_weights = _resume(run, checkpoint)
    with CheckpointWriter(checkpoint, run.device) as writer:
        while not _finished(history, run.config):
            started = time.monotonic()
            record = _train_and_validate(run, epoch=len(history) + 1)

            record["best"] = _best_epoch(history, record, run.config.select_on)
            if record["best"] == record["epoch"]:
                best_weights = _copy_weights(run.model)

            seconds = round(time.monotonic() - started, 3)
            history.append(record)
            tensors = functools.partial(_checkpoint_tensors, run, best_weights)
            writer.offer(tensors, history)
            if on_epoch is None:
                continue
            try:
                on_epoch({**record, "seconds": seconds})
            except BaseException:
                # The caller may raise to stop, and may go on from this epoch.
                writer.catch_up(tensors, history)
                raise

    run.model.load_state_dict(best_weights)
    return history


def _train_and_validate(run: Run, epoch: int) -> Record:
    """Run one epoch and return its record, refusing a loss that is not finite."""
    # An epoch's seed depends on nothing that came before, so that a resumed run draws
    # the same numbers. The prime keeps epochs of neighbouring seeds apart.
    order_seed = run.seed * 100_003 + epoch
    with seeded(order_seed, run.device):
        trained, validated = run_epoch(run, order_seed)

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
    run: Run, checkpoint: CheckpointFile | None
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


def _checkpoint_tensors(run: Run, best_weights: dict[str, Tensor]) -> dict[str, Tensor]:
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


def _adamw(
    weights: Iterable[nn.Parameter], config: BaseConfig, device: torch.device
) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        weights,
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        # One kernel for all weights; on the CPU the usual form keeps its numbers.
        fused=True if device.type == "cuda" else None,
    )


def _sgd(
    weights: Iterable[nn.Parameter], config: BaseConfig, device: torch.device
) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        weights,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        fused=True if device.type == "cuda" else None,
    )


OPTIMIZERS: dict[
    str,
    Callable[[Iterable[nn.Parameter], BaseConfig, torch.device], torch.optim.Optimizer],
] = {"adamw": _adamw, "sgd": _sgd}


def import_optimizers() -> None:
    """Import what torch imports with the first optimizer: it takes over a second."""
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])


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


def raw_outputs(
    model: nn.Module,
    clips: TrainingClips,
    size: int,
    device: torch.device,
) -> Tensor:
    """Compute the logits of every clip, in row order, as float32 on the CPU.

    Parameters
    ----------
    model : nn.Module
        On the device.
    clips : TrainingClips
    size : int
        Clips computed together.
    device : torch.device

    Raises
    ------
    UsageError
        when the device has no memory for a single clip.

    Shape: n clips → (n, aspects, outputs)
    """
    there = clips_on(clips, device, often=False)
    while size > 1:
        try:
            return outputs_on_device(model, there, size).cpu()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        release_memory(str(device))
        log.warning(
            "%s has no memory for a batch of %d clips; going on with %d.",
            device,
            size,
            size // 2,
        )
        size //= 2
    with naming_full_memory(device, size):
        return outputs_on_device(model, there, size).cpu()
