"""Sinkhorn's transport between the frames and the tokens of a batch of clips.

All clips of a batch are solved at once. Padding carries no mass, and every clip has the
temperatures that it would have alone, so that its cost depends on no other clip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

BLUR = 0.05
"""Square root of the entropic regularisation (geomloss' default)."""
SCALING = 0.5
"""Ratio of the blurs of two steps (geomloss' default)."""
STEPS = 26
"""Most temperatures of one solution.

They start at the diameter of the clouds, or at half a million times the blur, where the
diameter is larger still.
"""
SELF_BUDGET = 2**22
"""Numbers of the matrices of frames by frames that are held at a time: 16 MB
in each of a few copies."""


LEAST_EXPONENT = -87.0
"""Of which the exponential is a normal number of float32; smaller ones count as it."""


class Sinkhorn:
    """Mean over clips of the debiased Sinkhorn divergence (WhisQ, Eq. 10).

    All frames of a clip have equal weight, and so have all its tokens; the cost is
    ``|x - y|² / 2``. WhisQ, Table I, gives its settings in the terms of geomloss, and
    this is its algorithm (J. Feydy, "Geometric data analysis, beyond convolutions",
    2020, section 3.3).

    Parameters
    ----------
    blur : float
        Square root of the entropic regularisation.
    scaling : float
        How fast the regularisation is approached. 0.5 stops within some percent of the
        exact value; 0.99 within a thousandth, at 70 times the iterations.
    stride : int
        Number of frames that are averaged into one first.
    steps : int
        Most temperatures of one solution.

    Notes
    -----
    Frames are embeddings of a frozen encoder: the gradient reaches the tokens alone.

    Shape: frames (B, T, D), frame_mask (B, T), tokens (B, T', D), token_mask (B, T')
    → ()
    """

    def __init__(
        self,
        blur: float = BLUR,
        scaling: float = SCALING,
        stride: int = 1,
        *,
        steps: int = STEPS,
    ) -> None:
        self.blur = blur
        self.scaling = scaling
        self.stride = stride
        self.steps = steps

    def __call__(
        self,
        frames: Tensor,
        frame_mask: Tensor,
        tokens: Tensor,
        token_mask: Tensor,
        *,
        frame_terms: Tensor | None = None,
    ) -> Tensor:
        """Compute the mean over the clips.

        Parameters
        ----------
        frame_terms : Tensor of shape (B,), or None
            What `frame_terms` gives for the clips, where it is known.
        """
        costs = self.costs(
            frames, frame_mask, tokens, token_mask=token_mask, frame_terms=frame_terms
        )
        return costs.mean()

    def costs(
        self,
        frames: Tensor,
        frame_mask: Tensor,
        tokens: Tensor,
        *,
        token_mask: Tensor,
        frame_terms: Tensor | None = None,
    ) -> Tensor:
        """Compute the divergence of each clip. Shape: as the class → (B,)"""
        averaged, averaged_mask = average_frames(
            frames.detach().float(), frame_mask, self.stride
        )
        x = _Cloud(averaged, averaged_mask)
        y = _Cloud(tokens.float(), token_mask)
        diameter = _diameter(x, y)
        if frame_terms is None:
            frame_terms = self._self_terms(x, diameter)

        temperatures = self._temperatures(diameter)
        across = self._across(x, y, temperatures)
        of_tokens = self._within(y, temperatures)
        costs = across - frame_terms - of_tokens

        # A diverged projection gives NaN, which the training loop reports.
        is_finite = y.points.detach().square().sum().isfinite()
        return torch.where(is_finite, costs, math.nan)

    @torch.no_grad()
    def frame_terms(self, frames: Tensor, frame_mask: Tensor) -> Tensor:
        """Compute the part of the divergence that depends on frames alone.

        It is that of transporting the frames of a clip to themselves, of which most of
        the work consists, as frames are many. Its temperatures start at the diameter
        of the frames rather than at that of frames and tokens, which moves its
        solution within the solver's tolerance.

        Shape: frames (B, T, D), frame_mask (B, T) → (B,)
        """
        averaged, averaged_mask = average_frames(
            frames.float(), frame_mask, self.stride
        )
        x = _Cloud(averaged, averaged_mask)
        return self._self_terms(x, _diameter(x, x))

    @torch.no_grad()
    def _self_terms(self, cloud: _Cloud, diameter: Tensor) -> Tensor:
        """Transport clouds to themselves, as many at a time as the budget allows."""
        at_a_time = max(1, SELF_BUDGET // cloud.mask.shape[1] ** 2)
        terms = []
        for start in range(0, len(diameter), at_a_time):
            chosen = slice(start, start + at_a_time)
            part = _Cloud(cloud.points[chosen], cloud.mask[chosen])
            terms.append(self._within(part, self._temperatures(diameter[chosen])))
        return torch.cat(terms)

    def _temperatures(self, diameter: Tensor) -> list[_Temperature]:
        """The temperatures of the steps, each with the clips that still take part.

        Shape: diameter (B,)
        """
        last = torch.full_like(diameter, self.blur**2)
        widest = self.blur * self.scaling ** (2 - self.steps)
        # Points that are one and the same have no diameter to start from.
        first = diameter.clamp(min=self.blur / 1000, max=widest).square()
        temperatures = [_Temperature(first, torch.ones_like(first, dtype=torch.bool))]
        for step in range(1, self.steps):
            cooled = first * self.scaling ** (2 * (step - 1))
            before = temperatures[-1]
            is_taken = (
                before.is_taken & (before.value > last) if step > 1 else before.is_taken
            )
            # On the CPU the clips can be asked whether any is left; an accelerator
            # would have to be waited for.
            if is_taken.device.type == "cpu" and not is_taken.any():
                break
            temperatures.append(_Temperature(torch.maximum(cooled, last), is_taken))
        return temperatures

    def _across(self, x: _Cloud, y: _Cloud, temperatures: list[_Temperature]) -> Tensor:
        """Regularised cost of transport from x to y, with the gradient of y."""
        with torch.no_grad():
            cost = _half_squares(x, y)
            first = temperatures[0].value
            f = _softmin(first, cost, y.log_weights)
            g = _softmin(first, cost.mT, x.log_weights)
            for temperature in temperatures:
                value = temperature.value
                next_f = _softmin(value, cost, y.log_weights + g / value[:, None])
                next_g = _softmin(value, cost.mT, x.log_weights + f / value[:, None])
                f = temperature.averaged(f, next_f)
                g = temperature.averaged(g, next_g)
            last = torch.full_like(first, self.blur**2)
            from_y = y.log_weights + g / last[:, None]
            from_x = x.log_weights + f / last[:, None]
            f = _softmin(last, cost, from_y)

        # One step more, through which the gradient goes.
        if y.points.requires_grad and torch.is_grad_enabled():
            cost = _half_squares(x, y)
        g = _softmin(last, cost.mT, from_x)
        return x.mean(f) + y.mean(g)

    def _within(self, y: _Cloud, temperatures: list[_Temperature]) -> Tensor:
        """Regularised cost of transport from y to itself, with the gradient of y."""
        fixed = _Cloud(y.points.detach(), y.mask)
        with torch.no_grad():
            cost = _half_squares(fixed, fixed)
            g = _softmin(temperatures[0].value, cost, y.log_weights)
            for temperature in temperatures:
                value = temperature.value
                next_g = _softmin(value, cost, y.log_weights + g / value[:, None])
                g = temperature.averaged(g, next_g)
            last = torch.full_like(temperatures[0].value, self.blur**2)
            from_y = y.log_weights + g / last[:, None]

        if y.points.requires_grad and torch.is_grad_enabled():
            cost = _half_squares(fixed, y)
        return y.mean(_softmin(last, cost.mT, from_y))


class _Cloud:
    """Points of B clips, all of a clip of equal weight.

    Parameters
    ----------
    points : float32 Tensor of shape (B, N, D)
    mask : bool Tensor of shape (B, N)
    """

    def __init__(self, points: Tensor, mask: Tensor) -> None:
        self.points = points
        self.mask = mask
        # The logarithm of 0 is minus infinity, of which no exponential is left.
        shares = mask / mask.sum(1, keepdim=True)
        self.log_weights = shares.log()

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the points of each clip. Shape: (B, N) → (B,)"""
        return values.masked_fill(~self.mask, 0.0).sum(1) / self.mask.sum(1)


@dataclass(frozen=True, eq=False)
class _Temperature:
    """One step of the solver.

    Parameters
    ----------
    value : Tensor of shape (B,)
    is_taken : bool Tensor of shape (B,)
        Whether a clip takes this step: the others have reached their last temperature.
    """

    value: Tensor
    is_taken: Tensor

    def averaged(self, before: Tensor, after: Tensor) -> Tensor:
        """Mean of two dual potentials, for clips that take this step."""
        return torch.where(self.is_taken[:, None], 0.5 * (before + after), before)


def _softmin(temperature: Tensor, cost: Tensor, logits: Tensor) -> Tensor:
    """Smooth minimum over the last axis of costs, from logits of its points.

    Shape: temperature (B,), cost (B, N, M), logits (B, M) → (B, N)
    """
    scaled = logits[:, None] - cost / temperature[:, None, None]
    largest = scaled.detach().amax(2, keepdim=True)
    # torch's logsumexp is ten times as slow here: most exponentials underflow.
    shares = (scaled - largest).clamp_min(LEAST_EXPONENT).exp()
    return -temperature[:, None] * (shares.sum(2).log() + largest.squeeze(2))


def _half_squares(x: _Cloud, y: _Cloud) -> Tensor:
    """Half the squared distances, 0 in the padding. Shape: → (B, N, M)"""
    lengths_x = x.points.square().sum(-1)[:, :, None]
    lengths_y = y.points.square().sum(-1)[:, None]
    products = x.points @ y.points.mT
    halves = (lengths_x - 2 * products + lengths_y) / 2
    is_padding = ~(x.mask[:, :, None] & y.mask[:, None])
    return halves.masked_fill(is_padding, 0.0)


@torch.no_grad()
def _diameter(x: _Cloud, y: _Cloud) -> Tensor:
    """Diagonal of the box around the points of each clip. Shape: → (B,)"""
    lowest = torch.minimum(_lowest(x), _lowest(y))
    highest = torch.maximum(-_lowest(x, -1), -_lowest(y, -1))
    return torch.linalg.vector_norm(highest - lowest, dim=-1)


def _lowest(cloud: _Cloud, sign: int = 1) -> Tensor:
    """Lowest coordinates of each clip's points times a sign. Shape: → (B, D)"""
    is_padding = ~cloud.mask[..., None]
    return (sign * cloud.points).masked_fill(is_padding, math.inf).amin(1)


def average_frames(
    frames: Tensor, frame_mask: Tensor, stride: int
) -> tuple[Tensor, Tensor]:
    """Average every `stride` frames; a shorter remainder is averaged as well.

    Shape: (B, T, D), (B, T) → (B, ceil(T / stride), D), (B, ceil(T / stride))
    """
    if stride == 1:
        return frames, frame_mask
    n_clips, n_frames, dim = frames.shape
    n_groups = math.ceil(n_frames / stride)
    missing = n_groups * stride - n_frames
    real = frames.masked_fill(~frame_mask[..., None], 0.0)
    real = torch.nn.functional.pad(real, (0, 0, 0, missing))
    mask = torch.nn.functional.pad(frame_mask, (0, missing))

    counts = mask.view(n_clips, n_groups, stride).sum(2)
    sums = real.view(n_clips, n_groups, stride, dim).sum(2)
    return sums / counts.clamp_min(1)[..., None], counts > 0
