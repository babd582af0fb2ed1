"""What a network is trained on: embedded clips, and what its losses compare with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from base_models.networks.batches import Labels, TrainingClips
from base_models.networks.criteria import Criterion, Histogram


@dataclass(frozen=True)
class TrainingTask:
    """What a network is trained on.

    Parameters
    ----------
    clips : TrainingClips
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

    clips: TrainingClips
    scores: np.ndarray
    weights: np.ndarray
    train: Sequence[int]
    validation: Sequence[int]
    histograms: np.ndarray | None = None
    prompted: np.ndarray | None = None


@dataclass(frozen=True)
class Targets:
    """What the losses of n clips compare with, on one device.

    They are computed once a training, and not at every step.

    Parameters
    ----------
    labels : Labels
    expected : float32 Tensor of shape (n, aspects) or (n, aspects, …)
        `Criterion.targets` of every clip and aspect.
    """

    labels: Labels
    expected: Tensor

    @classmethod
    def of(cls, task: TrainingTask, criterion: Criterion) -> Targets:
        """Compute the targets of all clips of a task, on the CPU."""
        # Copies: the arrays may be read-only, which torch warns of.
        scores = torch.tensor(task.scores, dtype=torch.float32)
        labelled = ~scores.isnan()
        weights = torch.tensor(task.weights, dtype=torch.float32)
        # Any finite value serves in place of a missing score.
        labels = Labels(scores.nan_to_num(0.0), labelled * weights[:, None])

        expected = [
            criterion.targets(
                labels.scores[:, aspect],
                _histograms_of_aspect(task, aspect, criterion),
            )
            for aspect in range(scores.shape[1])
        ]
        return cls(labels, torch.stack(expected, 1))

    def to(self, device: torch.device) -> Targets:
        """Copy them to another device."""
        labels = Labels(self.labels.scores.to(device), self.labels.weights.to(device))
        return Targets(labels, self.expected.to(device))

    def take(self, rows: Tensor) -> Targets:
        """Return the targets of the clips `rows`, row numbers on the same device."""
        labels = Labels(
            self.labels.scores.index_select(0, rows),
            self.labels.weights.index_select(0, rows),
        )
        return Targets(labels, self.expected.index_select(0, rows))

    def losses(self, criterion: Criterion, logits: Tensor) -> Tensor:
        """Compute the loss of each clip and aspect.

        Shape: logits (n, aspects, outputs) → (n, aspects)
        """
        losses = [
            criterion.loss(logits[:, aspect], self.expected[:, aspect])
            for aspect in range(self.expected.shape[1])
        ]
        return torch.stack(losses, 1)


def _histograms_of_aspect(
    task: TrainingTask, aspect: int, criterion: Criterion
) -> Tensor | None:
    """Histograms of single ratings of an aspect: (n, bins), or None."""
    if task.histograms is None:
        return None
    if not isinstance(criterion, Histogram):
        raise TypeError(
            f"{type(criterion).__name__} does not read histograms of ratings."
        )
    return torch.tensor(task.histograms[:, aspect])
