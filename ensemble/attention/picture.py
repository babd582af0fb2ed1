"""One clip's attention as a picture: over time per model and their mean, tokens by time, and the waveform beneath.

Models differ in frame rate, so attention over time is drawn as a multiple of an even share: 1 is what a plain mean
would give every frame.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from base_models.clips.audio import USED_SECONDS, declared_seconds, load_audio
from base_models.networks.attention import PLAN

if TYPE_CHECKING:
    from ensemble.attention.explain import ModelAttention

RATE, POINTS = 8_000, 1_500
"""Hz of the waveform, and how many of its peaks are drawn."""
LONGEST_LABEL = 24


def picture(clip_id: str, audio: str, models: Sequence[ModelAttention]) -> bytes:
    """The picture as PNG.

    Parameters
    ----------
    audio : path of the clip
    models : what each base model attended to
    """
    from matplotlib.figure import Figure

    samples = load_audio(audio, RATE)
    seconds = len(samples) / RATE
    panels = _panels(models, seconds)
    heights = [height for height, _ in panels]
    canvas = Figure(figsize=(9, 1.6 + sum(heights)), dpi=110, layout="constrained")
    grid = np.atleast_1d(
        canvas.subplots(len(panels) + 1, 1, height_ratios=[*heights, 1.0])
    )
    for axes, (_, draw) in zip(grid, panels, strict=False):
        draw(axes)
        axes.set_xlim(0, seconds)
    _draw_waveform(grid[-1], samples, seconds)
    canvas.suptitle(_title(clip_id, declared_seconds(audio)), parse_math=False)
    canvas.supxlabel("\n".join(_absent(models)), fontsize=7, parse_math=False)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Glyph"
        )  # a prompt may be in any script; what the font lacks is a box
        canvas.savefig(buffer, format="png")
    return buffer.getvalue()


def _title(clip_id: str, seconds: float) -> str:
    """The clip's name, and where it is cut, how much of it is heard and drawn.

    >>> _title("song", 95.2)
    'song (first 30 s of 95 s)'
    """
    cut = seconds >= USED_SECONDS + 0.5
    return _short(clip_id, 90) + (
        f" (first {USED_SECONDS:g} s of {seconds:.0f} s)" if cut else ""
    )


def _panels(
    models: Sequence[ModelAttention], seconds: float
) -> list[tuple[float, object]]:
    """Height in inches and drawing function of every panel: per aspect its time, its tokens by time, its plan."""
    panels = []
    for aspect in dict.fromkeys(
        one.aspect for model in models for one in model.aspects
    ):
        lines = {
            model.model: (model, found)
            for model in models
            if (found := _map(model, aspect, "time")) is not None
        }
        if lines:
            panels.append(
                (
                    1.7,
                    lambda axes, aspect=aspect, lines=lines: _draw_time(
                        axes, aspect, lines, seconds
                    ),
                )
            )
        for name, what in (
            ("tokens_by_time", "tokens by time"),
            (PLAN, "transport plan"),
        ):
            for (tokens, _), maps in _alike(models, aspect, name).items():
                height = 0.7 + 0.16 * min(len(tokens), 60)
                title = f"{aspect}: {what}, " + (
                    f"mean of {len(maps)} models" if len(maps) > 1 else next(iter(maps))
                )
                drawn = (
                    tokens,
                    np.mean([found for _, found in maps.values()], 0),
                    title,
                )
                step = next(iter(maps.values()))[0]
                panels.append(
                    (
                        height,
                        lambda axes, drawn=drawn, step=step: _draw_map(
                            axes, *drawn, step
                        ),
                    )
                )
    return panels


def _map(model: ModelAttention, aspect: str, name: str) -> np.ndarray | None:
    return next(
        (one.maps.get(name) for one in model.aspects if one.aspect == aspect), None
    )


def _alike(
    models: Sequence[ModelAttention], aspect: str, name: str
) -> dict[tuple, dict[str, tuple]]:
    """The maps of one kind that have the same tokens and frames, and so a mean: seconds per column, and the map."""
    groups: dict[tuple, dict[str, tuple]] = {}
    for model in models:
        found = _map(model, aspect, name)
        if found is not None:
            step = (model.stride if name == PLAN else 1) / model.frame_rate
            groups.setdefault((model.tokens, (step, found.shape)), {})[model.model] = (
                step,
                found,
            )
    return groups


def _draw_time(axes, aspect: str, lines: dict[str, tuple], seconds: float) -> None:
    grid = (np.arange(POINTS) + 0.5) * seconds / POINTS
    drawn = []
    for name, (model, weights) in lines.items():
        frame = np.minimum((grid * model.frame_rate).astype(int), len(weights) - 1)
        drawn.append(weights[frame] * len(weights))
        axes.plot(grid, drawn[-1], linewidth=0.8, alpha=0.6, label=_short(name))
    if len(drawn) > 1:
        axes.plot(grid, np.mean(drawn, 0), color="black", linewidth=1.6, label="mean")
    axes.axhline(1, color="#bbbbbb", linewidth=0.8, zorder=0)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("x even share", fontsize=7)
    axes.set_title(
        f"{aspect}: attention over time", fontsize=9, loc="left", parse_math=False
    )
    legend = axes.legend(
        fontsize=6, frameon=False, loc="upper left", bbox_to_anchor=(1, 1)
    )
    for label in legend.get_texts():
        label.set_parse_math(False)


def _draw_map(
    axes, tokens: Sequence[str], weights: np.ndarray, title: str, step: float
) -> None:
    """Each token's row divided by its largest weight, or one sharp row would hide the others."""
    shown = weights / np.maximum(weights.max(1, keepdims=True), 1e-30)
    extent = (0, weights.shape[1] * step, len(tokens), 0)
    axes.imshow(
        shown,
        aspect="auto",
        extent=extent,
        interpolation="nearest",
        cmap="magma",
        vmin=0,
        vmax=1,
    )
    labels = [_short(token, LONGEST_LABEL) for token in tokens]
    size = 7 if len(tokens) <= 60 else 4
    axes.set_yticks(
        np.arange(len(tokens)) + 0.5, labels, fontsize=size, parse_math=False
    )
    axes.set_title(title, fontsize=9, loc="left", parse_math=False)


def _draw_waveform(axes, samples: np.ndarray, seconds: float) -> None:
    parts = np.array_split(samples, min(POINTS, len(samples)))
    time = (np.arange(len(parts)) + 0.5) * seconds / len(parts)
    axes.fill_between(
        time,
        [part.min() for part in parts],
        [part.max() for part in parts],
        color="#4472a8",
    )
    axes.set(xlim=(0, seconds), xlabel="seconds")
    axes.set_yticks([])


def _absent(models: Sequence[ModelAttention]) -> list[str]:
    """What is not drawn, and why: one line for each reason."""
    reasons: dict[str, list[str]] = {}
    for model in models:
        for one in model.aspects:
            if one.note:
                reasons.setdefault(f"{one.aspect}: {one.note}", []).append(model.model)
    return [
        _short(f"{', '.join(names)} - {reason}", 150)
        for reason, names in reasons.items()
    ]


def _short(text: str, longest: int = 30) -> str:
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
