"""Losses on a clip's tokens and frames in one space.

Two are transport costs (that of Sinkhorn is in `sinkhorn.py`) and one is contrastive:
they draw tokens towards frames. Each takes the padded sequences of a batch and returns
the mean over its clips. Padding carries no mass in a transport plan, and all is in
float32. The fourth, `anchored`, makes the similarity of the two follow a score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from base_models.config import BaseConfig
from base_models.networks.layers import masked_mean
from base_models.networks.sinkhorn import BLUR, Sinkhorn, average_frames

TEMPERATURE = 0.07
"""Temperature of the contrastive loss (Radford et al., "Learning Transferable Visual
Models", 2021)."""


class Alignment(Protocol):
    """A loss that draws tokens towards frames.

    Shape: frames (B, T, D), frame_mask (B, T), tokens (B, T', D), token_mask (B, T')
    → ()
    """

    def __call__(
        self,
        frames: Tensor,
        frame_mask: Tensor,
        tokens: Tensor,
        token_mask: Tensor,
    ) -> Tensor: ...


class Transport:
    """Mean over clips of a transport cost between frames and tokens (WhisQ, Eq. 10).

    Every clip is transported alone. All its frames have equal weight, and so have all
    its tokens.

    Parameters
    ----------
    cost : callable
        From frames (T, D) and tokens (T', D) to a scalar tensor.
    stride : int
        Number of frames that are averaged into one first.

    Shape: frames (B, T, D), frame_mask (B, T), tokens (B, T', D), token_mask (B, T')
    → ()
    """

    def __init__(
        self,
        cost: Callable[[Tensor, Tensor], Tensor],
        stride: int = 1,
    ) -> None:
        self.cost = cost
        self.stride = stride

    def __call__(
        self,
        frames: Tensor,
        frame_mask: Tensor,
        tokens: Tensor,
        token_mask: Tensor,
    ) -> Tensor:
        tokens = tokens.float()

        # A diverged projection yields NaN here, which the training loop reports; the
        # solvers would fail with errors of their own.
        if not tokens.square().sum().isfinite():
            return tokens.new_tensor(float("nan"))

        averaged, mask = average_frames(frames.float(), frame_mask, self.stride)
        clouds = clouds_of_clips(averaged, mask, tokens, token_mask=token_mask)
        costs = [self.cost(x, y) for x, y in clouds]
        return torch.stack(costs).mean()


def clouds_of_clips(
    frames: Tensor, frame_mask: Tensor, tokens: Tensor, *, token_mask: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the frames and tokens of each clip at their true lengths, in float32.

    Shape: as `Transport` → per clip (T, D) and (T', D)
    """
    clips = zip(frames, frame_mask, tokens, token_mask, strict=True)
    for clip_frames, clip_frame_mask, clip_tokens, clip_token_mask in clips:
        yield (
            clip_frames[clip_frame_mask].float(),
            clip_tokens[clip_token_mask].float(),
        )


def sinkhorn_plan(
    frames: Tensor,
    tokens: Tensor,
    blur: float = BLUR,
) -> Tensor:
    """Compute the entropic transport plan behind `Sinkhorn`.

    It says how much of each token goes to each frame. Each token sends out exactly
    1 / T'; what a frame receives is 1 / T up to the solver's tolerance.

    Shape: frames (T, D), tokens (T', D) → (T', T), float32, sums to 1
    """
    import ot
    from geomloss import SamplesLoss

    # Shifting a cloud as a whole changes no plan, so both are centred. In float32,
    # costs of thousands would be coarser than blur², which decides.
    x = _centred(frames)
    y = _centred(tokens)

    # geomloss comes near the solution in few steps; POT then iterates from there.
    solve = SamplesLoss(
        "sinkhorn",
        p=2,
        blur=blur,
        scaling=0.95,
        debias=False,
        potentials=True,
        backend="tensorized",
    )
    start = [_log_scaling(potential, blur) for potential in solve(y, x)]

    plan = ot.bregman.sinkhorn_log(
        _equal_shares(y),
        _equal_shares(x),
        _distances(y, x).square() / 2,
        reg=blur**2,
        numItermax=100,
        stopThr=1e-6,
        warn=False,
        warmstart=start,
    )
    return plan.float()


def _centred(points: Tensor) -> Tensor:
    exact = points.cpu().double()
    return exact - exact.mean(0)


def _log_scaling(potential: Tensor, blur: float) -> Tensor:
    """Convert a dual potential of geomloss to the scaling that POT iterates on.

    geomloss' potentials are relative to the weights of the points, POT's are not.
    """
    potential = potential.flatten()
    return potential / blur**2 - math.log(len(potential))


def _equal_shares(points: Tensor) -> Tensor:
    return torch.full((len(points),), 1 / len(points), dtype=points.dtype)


def gromov_wasserstein_cost(frames: Tensor, tokens: Tensor) -> Tensor:
    """Squared Gromov-Wasserstein discrepancy of the distances within each sequence.

    It compares shapes, not places: no rotation or shift of the tokens changes it.
    Source: WhisQ, section V; Peyré et al., 2016.

    Shape: frames (T, D), tokens (T', D) → ()
    """
    import ot

    # The exact flow steps are solved on the CPU in float64, whatever the device.
    frames_exact = frames.cpu().double()
    tokens_exact = tokens.cpu().double()
    frame_distances = _distances(frames_exact, frames_exact)
    token_distances = _distances(tokens_exact, tokens_exact)

    cost = ot.gromov.gromov_wasserstein2(
        frame_distances,
        token_distances,
        p=_equal_shares(frame_distances),
        q=_equal_shares(token_distances),
        loss_fun="square_loss",
    )
    return cost.to(tokens)


def _distances(points: Tensor, others: Tensor) -> Tensor:
    # The form by matrix product cancels for points that lie near each other.
    return torch.cdist(points, others, compute_mode="donot_use_mm_for_euclid_dist")


def contrastive(
    frames: Tensor,
    frame_mask: Tensor,
    tokens: Tensor,
    token_mask: Tensor,
) -> Tensor:
    """Symmetric InfoNCE between the mean frames and mean tokens of a batch.

    Source: WhisQ, section V; van den Oord et al., 2018.

    Shape: frames (B, T, D), frame_mask (B, T), tokens (B, T', D), token_mask (B, T')
    → ()
    """
    audio = F.normalize(masked_mean(frames.float(), frame_mask), dim=-1)
    text = F.normalize(masked_mean(tokens.float(), token_mask), dim=-1)

    # Clips of one prompt are not negatives of each other, since the text fits either.
    # Equal prompts have equal means up to rounding.
    fixed_text = text.detach()
    same_prompt = _distances(fixed_text, fixed_text) < 1e-4
    same_prompt = same_prompt.fill_diagonal_(False)

    similarity = audio @ text.T / TEMPERATURE
    similarity = similarity.masked_fill(same_prompt, float("-inf"))

    target = torch.arange(len(similarity), device=similarity.device)
    audio_to_text = F.cross_entropy(similarity, target)
    text_to_audio = F.cross_entropy(similarity.T, target)
    return (audio_to_text + text_to_audio) / 2


def anchored(
    similarity: Tensor,
    anchors: Tensor,
    weights: Tensor,
) -> Tensor:
    """Weighted mean square of similarity minus anchor.

    Parameters
    ----------
    similarity : Tensor of shape (B,)
        Of a clip's audio and prompt, as `mean_similarity` gives it.
    anchors : Tensor of shape (B,)
        Scores, moved and scaled to -1 … 1.
    weights : Tensor of shape (B,)
        0 for a clip that has no score, whose anchor may be any finite number.

    Returns
    -------
    loss : Tensor of shape ()
        0 where no clip has a weight.

    Notes
    -----
    After DeRA-MOS (arXiv 2606.10010), of which only facts of the abstract are known
    here: a score-anchored alignment loss for text alignment. Its form is unknown; this
    is the plainest.
    """
    errors = (similarity - anchors).square()
    # The floor keeps a batch without a score at a loss of 0.
    return (errors * weights).sum() / weights.sum().clamp_min(1e-12)


def mean_similarity(
    frames: Tensor,
    frame_mask: Tensor,
    tokens: Tensor,
    token_mask: Tensor,
) -> Tensor:
    """Cosine of the mean frame and the mean token of each clip.

    Shape: frames (B, T, D), frame_mask (B, T), tokens (B, T', D), token_mask (B, T')
    → (B,)
    """
    audio = masked_mean(frames.float(), frame_mask)
    text = masked_mean(tokens.float(), token_mask)
    return F.cosine_similarity(audio, text, dim=-1)


def _sinkhorn(config: BaseConfig) -> Sinkhorn:
    return Sinkhorn(stride=config.alignment_stride)


def _gromov_wasserstein(config: BaseConfig) -> Transport:
    return Transport(gromov_wasserstein_cost, stride=config.alignment_stride)


ALIGNMENTS: dict[str, Callable[[BaseConfig], Alignment | None]] = {
    "none": lambda config: None,
    "sinkhorn": _sinkhorn,
    "gromov_wasserstein": _gromov_wasserstein,
    "contrastive": lambda config: contrastive,
}


def build_alignment(config: BaseConfig) -> Alignment | None:
    """Build the alignment that a config names; None without one or at weight 0.

    ``"anchored"`` is part of the network that has it (`DualBranch`).
    """
    if not config.alignment_weight:
        return None
    return ALIGNMENTS[config.alignment](config)
