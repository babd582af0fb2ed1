"""Does a model's score depend on what it attends to? Take the most attended away, and as much at random, and compare.

Seconds are removed from the embeddings: exactly what the network sees, without encoding cut audio, whose edge would be
heard. Words are removed from the prompt, which is encoded anew: the other tokens' vectors know of the word. The trap is
to compare a stretch with scattered frames; both are one stretch of one length, and both changes are of one clip.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from base_models.batches import Embedded
from base_models.clips import SetAside
from base_models.embed import system_ids
from base_models.embeddings import EmbeddingStore
from base_models.encoders.base import Encoder
from base_models.errors import UsageError
from base_models.files import sha256
from base_models.metrics import bootstrap_weights
from base_models.neural_mos import NeuralMOS
from ensemble.scoring import PLACEHOLDER, embedded_once, prepared, usable
from ensemble.stacked_mos import StackedMOS

CHUNK = 8
"""Clips handled together; each stands there once per removal."""
MEAN = "mean of the models"
MORE, LESS, NONE = "more", "less", "no difference shown"
UNITS = {False: "seconds", True: "words"}
"""What is removed, by whether the aspect is judged against the prompt."""
_COMPARED, _ENDS = ("attended", "random", "difference"), ("", "_low", "_high")


@dataclass(frozen=True)
class Deletion:
    """What removing did.

    Parameters
    ----------
    table : one row per model and aspect, and per aspect the mean of the models: model, aspect, removed (``"seconds"``
        or ``"words"``); ``attended``, ``random`` and their ``difference``, in score points, each with ``_low`` and
        ``_high``; verdict, clips, systems
    share : of the frames or words that was removed
    left_out : models and aspects without the attention that it takes, each with the reason
    set_aside : clips that could not be used, or are too short to take anything away
    """

    table: pd.DataFrame
    share: float
    left_out: tuple[str, ...]
    set_aside: tuple[SetAside, ...]

    def sentences(self) -> Iterator[str]:
        """Each row in words."""
        for row in self.table.to_dict("records"):
            by = {name: _figure(*(row[f"{name}{end}"] for end in _ENDS)) for name in _COMPARED}
            systems = f", {row['systems']} systems" if row["systems"] else ""
            yield (
                f"{row['model']}, {row['aspect']}: removing the most attended {self.share:.0%} of the {row['removed']} "
                f"moves the score by {by['attended']}, random ones by {by['random']}; "
                f"difference {by['difference']}: {row['verdict']} "
                f"({row['clips']} clips{systems})"
            )


def deletion_test(
    stack: StackedMOS,
    clips: pd.DataFrame,
    store: EmbeddingStore,
    share: float = 0.2,
    draws: int = 10,
    n_bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Deletion:
    """Compare what attended and random removals do to the scores of every base model.

    Parameters
    ----------
    clips : as for `score_clips`; labels are not needed. ``system_id`` names the clusters of the intervals
    share : of a clip's frames, or of a prompt's words, in one stretch; at least one, and never all
    draws : random stretches per clip, all there are if they are fewer; a model's change is the mean over them
    n_bootstrap, seed, level : of the intervals, from resampled systems; from resampled clips where none are named

    Raises
    ------
    UsageError
        when a number is off, or no model has attention.
    """
    if not 0 < share < 1 or not 0 < level < 1:
        raise UsageError(f"The share and the level must lie between 0 and 1; got {share} and {level}.")
    if draws < 1:
        raise UsageError(f"At least one random draw is needed; got {draws}.")
    stack, clips = prepared(stack, clips, store)
    run = _Run(share, draws, seed)
    for start in range(0, len(clips), CHUNK):
        chunk = clips.iloc[start : start + CHUNK].reset_index(drop=True)
        filled = chunk.assign(prompt=chunk["prompt"].where(chunk["prompt"].str.strip() != "", PLACEHOLDER))
        rows, bad = usable([model for _, model in stack.estimators_], filled, store, on_progress)
        run.aside |= {clip.clip_id: clip.reason for clip in bad}
        if rows:
            run.add(stack, filled.iloc[rows].reset_index(drop=True), chunk["prompt"].iloc[rows].tolist())
    systems = dict(zip(clips["clip_id"], system_ids(clips), strict=True))
    rows = [_summary(*row, systems, n_bootstrap, seed, level) for row in run.changes()]
    if not rows:
        raise UsageError(f"Nothing to remove: {'; '.join([*run.left_out, *run.aside.values()])}.")
    aside = tuple(SetAside(clip, reason) for clip, reason in run.aside.items())
    return Deletion(pd.DataFrame(rows), share, tuple(run.left_out), aside)


@dataclass
class _Run:
    """What has been removed so far: (model, aspect, unit) → clip → change by the attended, and by random ones."""

    share: float
    draws: int
    seed: int
    found: dict[tuple[str, str, str], dict[str, tuple[float, float]]] = field(default_factory=dict)
    left_out: dict[str, None] = field(default_factory=dict)
    aside: dict[str, str] = field(default_factory=dict)

    def add(self, stack: StackedMOS, chunk: pd.DataFrame, prompts: Sequence[str]) -> None:
        """Try every model on a few clips; `prompts` as given, "" where there is none."""
        memory = EmbeddingStore(dtype=stack.estimators_[0][1].store.dtype)  # shortened prompts are not kept
        for name, model, embedded in embedded_once(stack, chunk):
            explained, before = model.explain_embedded(embedded), _scores(model, embedded)
            for a, (aspect, text) in enumerate(zip(model.aspects_, model.needs_text_, strict=True)):
                found = self.found.setdefault((name, aspect, UNITS[text]), {})
                for row, clip in enumerate(chunk["clip_id"]):
                    weights = explained[row][a].maps.get("tokens" if text else "time")
                    if weights is None or (text and model.encoders()[1].pieces is None):
                        note = explained[row][a].note or "its text encoder does not tell words apart"
                        self.left_out[f"{name}, {aspect}: {note}"] = None
                    elif text and not prompts[row].strip():
                        self.aside.setdefault(clip, f"no prompt to remove words from for {aspect}")
                    elif text:
                        shorter = self._without_words(model, memory, embedded, row, prompts[row], weights, clip)
                        self._compare(found, clip, model, shorter, a, before[row, a])
                    else:
                        shorter = self._without_frames(embedded, row, weights, clip)
                        self._compare(found, clip, model, shorter, a, before[row, a])

    def _compare(self, found, clip: str, model: NeuralMOS, shorter: Embedded | None, a: int, before: float) -> None:
        if shorter is None:
            what = UNITS[model.needs_text_[a]]
            self.aside.setdefault(clip, f"too short to remove {what} for {model.aspects_[a]}")
        else:
            moved = np.abs(_scores(model, shorter)[:, a] - before)
            found[clip] = float(moved[0]), float(moved[1:].mean())

    def _without_frames(self, embedded: Embedded, row: int, weights: np.ndarray, clip: str) -> Embedded | None:
        frames = embedded.frames[row]
        shorter = [np.delete(frames, slice(*run), axis=0) for run in self._runs(weights, clip)]
        tokens = None if embedded.tokens is None else [embedded.tokens[row]] * len(shorter)
        return Embedded(shorter, tokens) if shorter else None

    def _without_words(
        self, model: NeuralMOS, memory: EmbeddingStore, embedded: Embedded, row: int, prompt: str, weights, clip: str
    ) -> Embedded | None:
        encoder = model.encoders()[1]
        words, weighed = word_weights(encoder, prompt, weights)
        shorter = [without_words(prompt, words, *run) for run in self._runs(weighed, clip)]
        keys, failed = memory.fill(encoder, {text: text for text in shorter})
        if failed or not shorter:
            return None
        return Embedded([embedded.frames[row]] * len(shorter), [memory.get(encoder, keys[text]) for text in shorter])

    def _runs(self, weights: np.ndarray, clip: str) -> list[tuple[int, int]]:
        """Start and end of the most attended stretch and of the random ones; the same random ones for every model."""
        n = len(weights)
        length = max(1, round(self.share * n))
        if length >= n:
            return []
        sums = np.convolve(weights, np.ones(length), "valid")
        drawn = np.random.default_rng([self.seed, int(sha256(clip.encode("utf-8", "surrogatepass"))[:8], 16)])
        starts = [int(sums.argmax()), *drawn.permutation(len(sums))[: self.draws].tolist()]
        return [(start, start + length) for start in starts]

    def changes(self) -> Iterator[tuple[str, str, str, dict[str, tuple[float, float]]]]:
        """Model, aspect, unit and its changes; after them, where models are several, their mean on the clips of all."""
        tested = {key: found for key, found in self.found.items() if found}
        for key, found in tested.items():
            yield *key, found
        for aspect, unit in dict.fromkeys(key[1:] for key in tested):
            alike = [found for key, found in tested.items() if key[1:] == (aspect, unit)]
            clips = [clip for clip in alike[0] if all(clip in found for found in alike)]
            if len(alike) > 1 and clips:
                means = {clip: tuple(np.mean([found[clip] for found in alike], axis=0)) for clip in clips}
                yield MEAN, aspect, unit, means


def _scores(model: NeuralMOS, clips: Embedded) -> np.ndarray:
    return model.config_.bins.decode(model.predict_embedded(clips), model.sigma_)


def word_weights(encoder: Encoder, prompt: str, weights: np.ndarray) -> tuple[list[tuple[int, int]], np.ndarray]:
    """The words of a prompt that the encoder sees, as spans, and the weight of each: the sum over its tokens.

    Special tokens belong to no word.
    """
    pieces = [(piece, weight) for piece, weight in zip(encoder.pieces(prompt), weights, strict=True)]
    pieces = [(piece, weight) for piece, weight in pieces if piece.end > piece.start]
    words, sums = [], []
    for word in re.finditer(r"\S*\w\S*", prompt):
        inside = [weight for piece, weight in pieces if piece.start < word.end() and piece.end > word.start()]
        if inside:
            words.append(word.span())
            sums.append(sum(inside))
    return words, np.array(sums)


def without_words(prompt: str, words: Sequence[tuple[int, int]], first: int, last: int) -> str:
    """`prompt` without words number `first` up to, not including, `last`, and the space after them.

    >>> without_words("slow piano, soft", [(0, 4), (5, 11), (12, 16)], 1, 2)
    'slow soft'
    """
    rest = words[last][0] if last < len(words) else words[last - 1][1]
    return (prompt[: words[first][0]] + prompt[rest:]).strip()


def _summary(
    model: str, aspect: str, removed: str, changes, systems, n_bootstrap: int, seed: int, level: float
) -> dict[str, Any]:
    """One row of the table."""
    moved = np.array(list(changes.values()))
    values = dict(zip(_COMPARED, (*moved.T, moved[:, 0] - moved[:, 1]), strict=True))
    names, cluster = np.unique([systems[clip] for clip in changes], return_inverse=True)
    named = len(names) > 1
    cluster = cluster if named else np.arange(len(moved))
    weights = bootstrap_weights(cluster.max() + 1, n_bootstrap, seed)
    row = {"model": model, "aspect": aspect, "removed": removed}
    for name, value in values.items():
        row |= dict(zip((f"{name}{end}" for end in _ENDS), _interval(value, cluster, weights, level), strict=True))
    verdict = MORE if row["difference_low"] > 0 else LESS if row["difference_high"] < 0 else NONE
    return row | {"verdict": verdict, "clips": len(moved), "systems": len(names) if named else 0}


def _interval(values: np.ndarray, cluster: np.ndarray, weights: np.ndarray, level: float) -> tuple[float, float, float]:
    """Mean over clips, and the quantiles of that mean over resampled clusters; NaN where there is one cluster."""
    if len(weights) == 0 or weights.shape[1] < 2:
        return float(values.mean()), float("nan"), float("nan")
    drawn = weights @ np.bincount(cluster, weights=values) / (weights @ np.bincount(cluster))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(values.mean()), float(low), float(high)


def _figure(value: float, low: float, high: float) -> str:
    return f"{value:.3f}" + (f" [{low:.3f}, {high:.3f}]" if np.isfinite(low) else "")
