"""Losses that draw a clip's projected tokens towards its frames: optimal transport, and a contrastive one.

Each takes the padded sequences of a batch and returns one number, the mean over its clips. The trap is the padding:
a transport plan would carry mass to it, so every clip is transported alone, at its true lengths, in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from base_models.config import BaseConfig
from base_models.networks.layers import masked_mean

Alignment = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""frames (B, T, D), frame_mask (B, T), tokens (B, T', D), token_mask (B, T') → a number."""
TEMPERATURE = 0.07
"""Of the contrastive loss (Radford et al., "Learning Transferable Visual Models", 2021)."""


class Transport:
    """Mean over clips of a transport cost between frames and tokens, all of equal weight (WhisQ, Eq. 10).

    Parameters
    ----------
    cost : from frames (T, D) and tokens (T', D) to a number
    stride : int, so many frames are averaged into one first

    Shape: frames (B, T, D), frame_mask (B, T), tokens (B, T', D), token_mask (B, T') → ()
    """

    def __init__(self, cost: Callable[[Tensor, Tensor], Tensor], stride: int = 1):
        self.cost, self.stride = cost, stride

    def __call__(
        self, frames: Tensor, frame_mask: Tensor, tokens: Tensor, token_mask: Tensor
    ) -> Tensor:
        frames, tokens = frames.float(), tokens.float()
        if not tokens.square().sum().isfinite():
            return tokens.new_tensor(
                float("nan")
            )  # diverged; the solvers would stumble over it in words of their own
        pairs = self.pairs(frames, frame_mask, tokens, token_mask)
        return torch.stack([self.cost(x, y) for x, y in pairs]).mean()

    def pairs(
        self, frames: Tensor, frame_mask: Tensor, tokens: Tensor, token_mask: Tensor
    ) -> Iterator[tuple]:
        """The two clouds of each clip at their true lengths, float32: (ceil(T / stride), D) and (T', D)."""
        for x, x_mask, y, y_mask in zip(
            frames, frame_mask, tokens, token_mask, strict=True
        ):
            yield _thinned(x[x_mask].float(), self.stride), y[y_mask].float()


def _thinned(frames: Tensor, stride: int) -> Tensor:
    """Every `stride` frames averaged, a shorter rest as well. Shape: (T, D) → (ceil(T / stride), D)."""
    if stride == 1:
        return frames
    return F.avg_pool1d(frames.T[None], stride, ceil_mode=True)[0].T


def sinkhorn_cost(
    blur: float = 0.05, scaling: float = 0.5
) -> Callable[[Tensor, Tensor], Tensor]:
    """The debiased Sinkhorn divergence for the cost |x - y|² / 2 (WhisQ, Table I, in geomloss' words).

    Parameters
    ----------
    blur : float, square root of the entropic regularisation
    scaling : float, how fast it is approached. geomloss' default of 0.5 stops within some percent of the exact value;
        0.99 within a thousandth, at 70 times the iterations
    """
    from geomloss import SamplesLoss

    return SamplesLoss(
        "sinkhorn", p=2, blur=blur, scaling=scaling, backend="tensorized"
    )


def sinkhorn_plan(frames: Tensor, tokens: Tensor, blur: float = 0.05) -> Tensor:
    """The plan of the entropic transport behind `sinkhorn_cost`: how much of each token goes to each frame.

    geomloss comes near, then POT iterates at most 100 times more. Each token sends out exactly 1 / T'; what a frame
    receives is 1 / T as nearly as they came. In float64: to float32 costs of thousands are coarser than ``blur²``,
    which decides. Moving a cloud as a whole changes no plan, so both are centred.

    Shape: frames (T, D), tokens (T', D) → (T', T), float32, sums to 1
    """
    import ot
    from geomloss import SamplesLoss

    x, y = (
        points.cpu().double() - points.cpu().double().mean(0)
        for points in (frames, tokens)
    )
    solve = SamplesLoss(
        "sinkhorn",
        p=2,
        blur=blur,
        scaling=0.95,
        debias=False,
        potentials=True,
        backend="tensorized",
    )
    start = [
        prices.flatten() / blur**2 - math.log(len(prices.flatten()))
        for prices in solve(y, x)
    ]
    shares = [
        torch.full((len(points),), 1 / len(points), dtype=x.dtype) for points in (y, x)
    ]
    options = {"numItermax": 100, "stopThr": 1e-6, "warn": False, "warmstart": start}
    return ot.bregman.sinkhorn_log(
        *shares, _distances(y, x).square() / 2, blur**2, **options
    ).float()


def gromov_wasserstein_cost(frames: Tensor, tokens: Tensor) -> Tensor:
    """Squared Gromov-Wasserstein discrepancy of the distances within each sequence (WhisQ, section V; Peyré et al.,
    2016). It compares shapes, not places: no rotation or shift of the tokens changes it.

    Exact flow steps, solved on the CPU in float64 whatever the device. Shape: (T, D), (T', D) → ()
    """
    import ot

    distances = [
        _distances(points, points)
        for points in (frames.cpu().double(), tokens.cpu().double())
    ]
    weights = [torch.full((len(d),), 1 / len(d), dtype=d.dtype) for d in distances]
    return ot.gromov.gromov_wasserstein2(
        *distances, *weights, loss_fun="square_loss"
    ).to(tokens)


def _distances(points: Tensor, others: Tensor) -> Tensor:
    return torch.cdist(points, others, compute_mode="donot_use_mm_for_euclid_dist")


def contrastive(
    frames: Tensor, frame_mask: Tensor, tokens: Tensor, token_mask: Tensor
) -> Tensor:
    """Symmetric InfoNCE between the means of frames and tokens of the clips of a batch (WhisQ, section V; van den Oord
    et al., 2018).

    Clips of one and the same prompt are not each other's negatives: whichever is taken, the text fits.

    Shape: frames (B, T, D), frame_mask (B, T), tokens (B, T', D), token_mask (B, T') → ()
    """
    audio, text = (
        masked_mean(frames.float(), frame_mask),
        masked_mean(tokens.float(), token_mask),
    )
    audio, text = F.normalize(audio, dim=-1), F.normalize(text, dim=-1)
    # equal prompts have equal means but for rounding
    same = (_distances(text.detach(), text.detach()) < 1e-4).fill_diagonal_(False)
    similarity = (audio @ text.T / TEMPERATURE).masked_fill(same, float("-inf"))
    target = torch.arange(len(similarity), device=similarity.device)
    return (
        F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)
    ) / 2


ALIGNMENTS: dict[str, Callable[[BaseConfig], Alignment | None]] = {
    "none": lambda config: None,
    "sinkhorn": lambda config: Transport(sinkhorn_cost(), config.alignment_stride),
    "gromov_wasserstein": lambda config: Transport(
        gromov_wasserstein_cost, config.alignment_stride
    ),
    "contrastive": lambda config: contrastive,
}


def build_alignment(config: BaseConfig) -> Alignment | None:
    """The alignment that a config names, or None when it names none or its weight is 0."""
    return ALIGNMENTS[config.alignment](config) if config.alignment_weight else None
