"""Draw one clip's attention: over time, tokens by time, and the waveform beneath.

Beneath that, bars show what the scores of models on pooled embeddings consist of.

Models differ in frame rate, so attention over time is drawn as a multiple of an even
share: 1 is what a plain mean would give every frame.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from base_models.clips.audio import (
    LENGTH_TOLERANCE,
    USED_SECONDS,
    declared_seconds,
    load_audio,
)
from base_models.networks.attention import PLAN
from ensemble.attention.contribution_bars import Panel, bar_panels
from ensemble.attention.labels import font_families, short
from ensemble.attention.model_attention import ModelAttention
from ensemble.attention.model_contributions import ModelContributions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RATE = 8_000
"""Sampling rate of the drawn waveform in Hz."""
POINTS = 1_500
"""How many points a curve or the waveform has across the picture."""
LONGEST_LABEL = 24
MOST_LEGIBLE_TOKENS = 60
"""Rows of tokens from which on a panel grows no higher, and its letters smaller."""
MAP_TITLES = {"tokens_by_time": "tokens by time", PLAN: "transport plan"}
# Keeps rows without any weight from being divided by 0.
_TINY = 1e-30


@dataclass
class _MapGroup:
    """Maps with the same tokens and frames, by model: they have a mean."""

    tokens: tuple[str, ...]
    seconds_per_column: float
    maps: dict[str, np.ndarray] = field(default_factory=dict)


def picture(
    clip_id: str,
    audio: str,
    models: Sequence[ModelAttention],
    contributions: Sequence[ModelContributions] = (),
    score: str = "",
) -> bytes:
    """Draw the picture as PNG.

    Parameters
    ----------
    clip_id : str
        For the title.
    audio : str
        Path of the clip.
    models : sequence of ModelAttention
        What each base model attended to.
    contributions : sequence of ModelContributions
        What the scores of those without attention consist of.
    score : str
        The scores of the clip in words, for the title.
    """
    import matplotlib

    title = _title(clip_id, declared_seconds(audio), score)
    texts = [title, *_names(models, contributions)]
    absent = _absent(models)
    with (
        matplotlib.rc_context({"font.family": font_families(texts)}),
        warnings.catch_warnings(),
    ):
        # Whatever slipped through is drawn as a box, without a word for each.
        warnings.filterwarnings("ignore", "Glyph")
        figure = _figure(audio, models, contributions)
        # Names are data: without parse_math=False, a "$" would start a formula.
        figure.suptitle(title, parse_math=False)
        figure.supxlabel("\n".join(absent), fontsize=7, parse_math=False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _names(
    models: Sequence[ModelAttention], contributions: Sequence[ModelContributions]
) -> list[str]:
    """Names and tokens that are data, as they are drawn."""
    tokens = (token for model in models for token in model.tokens)
    aspects = [it.aspect for model in models for it in model.aspects]
    aspects += [it.aspect for model in contributions for it in model.aspects]
    return [
        *(short(token, LONGEST_LABEL) for token in dict.fromkeys(tokens)),
        *(short(aspect) for aspect in dict.fromkeys(aspects)),
    ]


def _figure(
    audio: str,
    models: Sequence[ModelAttention],
    contributions: Sequence[ModelContributions],
) -> Figure:
    """All panels, one below the other."""
    from matplotlib.figure import Figure

    samples = load_audio(audio, RATE)
    seconds = len(samples) / RATE
    panels = _panels(models, seconds)
    bars = bar_panels(contributions)
    # The waveform is beneath all that has its axis of time.
    heights = [height for height, _ in panels] + [1.0] + [height for height, _ in bars]

    size = (9, 0.6 + sum(heights))
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    subplots = figure.subplots(len(heights), 1, height_ratios=heights)
    # A single one comes alone.
    all_axes = np.atleast_1d(subplots).tolist()
    for _, draw in panels:
        axes = all_axes.pop(0)
        draw(axes)
        axes.set_xlim(0, seconds)
    _draw_waveform(all_axes.pop(0), samples, seconds)
    for axes, (_, draw) in zip(all_axes, bars, strict=True):
        draw(axes)
    return figure


def _title(clip_id: str, seconds: float, score: str = "") -> str:
    """The clip's name; where it is cut, how much of it is heard and drawn; its score.

    >>> _title("song", 95.2)
    'song (first 30 s of 95 s)'
    """
    title = short(clip_id, 90)
    # Below half a second more, both lengths would round to the same number.
    if seconds > USED_SECONDS + LENGTH_TOLERANCE:
        title += f" (first {USED_SECONDS:g} s of {seconds:.0f} s)"
    return f"{title}\n{score}" if score else title


def _panels(models: Sequence[ModelAttention], seconds: float) -> list[Panel]:
    """Panels in order: per aspect its time, its tokens by time, and its plan."""
    aspects = dict.fromkeys(
        attention.aspect for model in models for attention in model.aspects
    )
    panels: list[Panel] = []
    for aspect in aspects:
        if any(model.map(aspect, "time") is not None for model in models):
            draw_time = partial(
                _draw_time, aspect=aspect, models=models, seconds=seconds
            )
            panels.append((1.7, draw_time))
        for name, title in MAP_TITLES.items():
            for group in _map_groups(models, aspect, name):
                height = 0.7 + 0.16 * min(len(group.tokens), MOST_LEGIBLE_TOKENS)
                draw_map = partial(
                    _draw_map, group=group, title=f"{short(aspect)}: {title}, "
                )
                panels.append((height, draw_map))
    return panels


def _map_groups(
    models: Sequence[ModelAttention], aspect: str, name: str
) -> list[_MapGroup]:
    """The maps of one kind, grouped by tokens, frames and frame rate."""
    groups: dict[object, _MapGroup] = {}
    for model in models:
        weights = model.map(aspect, name)
        if weights is None:
            continue
        frames_per_column = model.stride if name == PLAN else 1
        seconds_per_column = frames_per_column / model.frame_rate
        key = (model.tokens, seconds_per_column, weights.shape)
        if key not in groups:
            groups[key] = _MapGroup(model.tokens, seconds_per_column)
        groups[key].maps[model.model] = weights
    return list(groups.values())


def _draw_time(
    axes: Axes, aspect: str, models: Sequence[ModelAttention], seconds: float
) -> None:
    """Draw the attention of each model over time, and the mean of several models."""
    times = (np.arange(POINTS) + 0.5) * seconds / POINTS
    curves = []
    for model in models:
        weights = model.map(aspect, "time")
        if weights is None:
            continue
        frame = np.minimum((times * model.frame_rate).astype(int), len(weights) - 1)
        # Weights sum to 1, so an even share is one over the number of frames.
        curve = weights[frame] * len(weights)
        curves.append(curve)
        axes.plot(times, curve, linewidth=0.8, alpha=0.6, label=short(model.model))
    if len(curves) > 1:
        mean = np.mean(curves, 0)
        axes.plot(times, mean, color="black", linewidth=1.6, label="mean")

    axes.axhline(1, color="#bbbbbb", linewidth=0.8, zorder=0)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("x even share", fontsize=7)
    title = f"{short(aspect)}: attention over time"
    axes.set_title(title, fontsize=9, loc="left", parse_math=False)
    legend = axes.legend(
        fontsize=6, frameon=False, loc="upper left", bbox_to_anchor=(1, 1)
    )
    for label in legend.get_texts():
        label.set_parse_math(False)


def _draw_map(axes: Axes, group: _MapGroup, title: str) -> None:
    """Draw the mean map of a group."""
    maps = list(group.maps.values())
    weights = np.mean(maps, 0)
    # Each row is divided by its largest weight, or one sharp row would hide the others.
    shown = weights / np.maximum(weights.max(1, keepdims=True), _TINY)
    n_tokens = len(group.tokens)
    seconds = weights.shape[1] * group.seconds_per_column
    axes.imshow(
        shown,
        aspect="auto",
        extent=(0, seconds, n_tokens, 0),
        interpolation="nearest",
        cmap="magma",
        vmin=0,
        vmax=1,
    )

    labels = [short(token, LONGEST_LABEL) for token in group.tokens]
    size = 7 if n_tokens <= MOST_LEGIBLE_TOKENS else 4
    rows = np.arange(n_tokens) + 0.5
    axes.set_yticks(rows, labels, fontsize=size, parse_math=False)
    if len(maps) > 1:
        title += f"mean of {len(maps)} models"
    else:
        title += next(iter(group.maps))
    axes.set_title(title, fontsize=9, loc="left", parse_math=False)


def _draw_waveform(axes: Axes, samples: np.ndarray, seconds: float) -> None:
    """Draw the least and the greatest sample of each short stretch."""
    parts = np.array_split(samples, min(POINTS, len(samples)))
    times = (np.arange(len(parts)) + 0.5) * seconds / len(parts)
    lows = [part.min() for part in parts]
    highs = [part.max() for part in parts]
    axes.fill_between(times, lows, highs, color="#4472a8")
    axes.set(xlim=(0, seconds), xlabel="seconds")
    axes.set_yticks([])


def _absent(models: Sequence[ModelAttention]) -> list[str]:
    """What is not drawn, and why: one line for each reason."""
    models_of_reason: dict[str, list[str]] = {}
    for model in models:
        for attention in model.aspects:
            if attention.note:
                reason = f"{attention.aspect}: {attention.note}"
                models_of_reason.setdefault(reason, []).append(model.model)
    return [
        short(f"{', '.join(names)} - {reason}", 150)
        for reason, names in models_of_reason.items()
    ]
