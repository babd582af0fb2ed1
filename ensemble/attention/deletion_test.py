"""Does a model's score depend on what it attends to? Take the most attended away, and as much at random, and compare.

Seconds are removed from the embeddings: exactly what the network sees, without encoding cut audio, whose edge would be
heard. Words are removed from the prompt, which is encoded anew: the other tokens' vectors know of the word. The trap is
to compare unlike removals: both are one stretch of one length and as nearly as can be of as many tokens, and the
attended one is chosen by weight per token, or it would be the one that takes most away whatever the model attends to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from base_models.clips.read_clips import SetAside
from base_models.encoders.base import Encoder
from base_models.encoders.embed import system_ids
from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError
from base_models.files import sha256
from base_models.networks.batches import Embedded
from base_models.training.neural_mos import NeuralMOS
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.scoring.score_clips import PLACEHOLDER, embedded_once, prepared, usable
from meta.comparison.sign_flip import holm, sign_flip

CHUNK = 8
"""Clips handled together; each stands there once per removal."""
MEAN = "mean of the models"
MORE, LESS, NONE = "more", "less", "no difference shown"
STILL, EVEN = (
    "the score hardly moves either way",
    "the attention is even, so nothing can be said",
)
TOO_FEW = "no difference shown; the systems are too few to show any"
HARDLY = 0.005
"""Score points; where both removals move the score less, which moves it more is of no interest."""
FLAT = 1.02
"""Times the even share; a clip whose most attended stretch has less says nothing about attention."""
UNITS = {False: "seconds", True: "words"}
"""What is removed, by whether the aspect is judged against the prompt."""
_TINY = 1e-30  # of a prompt, special tokens may have all the attention
_COMPARED, _ENDS = ("attended", "random", "difference"), ("", "_low", "_high")


@dataclass(frozen=True)
class Deletion:
    """What removing did.

    Parameters
    ----------
    table : one row per model and aspect, and per aspect the mean of the models: model, aspect, removed (``"seconds"``
        or ``"words"``); ``attended``, ``random`` and their ``difference``, in score points, each with ``_low`` and
        ``_high``; ``p`` of the sign-flip test of the difference over systems (`meta.comparison.sign_flip.sign_flip`) and ``p_holm``,
        adjusted over all rows; verdict; clips and systems; ``flat``, how many further clips were left out because the
        attention is even; ``attended_share`` of the attention on the removed stretch, beside its ``even_share``
    share, draws : of the frames or words that was removed; random stretches per clip
    trained_on : how many of the clips trained a base model, or chose its epoch
    left_out : models and aspects without the attention that it takes, each with the reason
    set_aside : clips that could not be used, or are too short to take anything away
    """

    table: pd.DataFrame
    share: float
    draws: int
    trained_on: int
    left_out: tuple[str, ...]
    set_aside: tuple[SetAside, ...]

    def sentences(self) -> Iterator[str]:
        """Each row in words."""
        for row in self.table.to_dict("records"):
            by = {
                name: _figure(*(row[f"{name}{end}"] for end in _ENDS))
                for name in _COMPARED
            }
            said = (
                f"removing the most attended {self.share:.0%} of the {row['removed']} moves the score by "
                f"{by['attended']}, random ones by {by['random']}; difference {by['difference']}: "
            )
            counts = [f"{row['clips']} clips"] + (
                [f"{row['systems']} systems"] if row["systems"] else []
            )
            counts += (
                [f"{row['flat']} of even attention left out"] if row["flat"] else []
            )
            counts += [
                f"attention on the stretch {row['attended_share']:.1%}, evenly {row['even_share']:.1%}"
            ]
            yield (
                f"{row['model']}, {row['aspect']}: {said if row['clips'] else ''}{row['verdict']} ({', '.join(counts)})"
            )


def deletion_test(
    stack: StackedMOS,
    clips: pd.DataFrame,
    store: EmbeddingStore,
    share: float = 0.2,
    draws: int = 10,
    seed: int = 0,
    level: float = 0.95,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Deletion:
    """Compare what attended and random removals do to the scores of every base model.

    Parameters
    ----------
    clips : as for `score_clips`; labels are not needed. Test and intervals are over ``system_id``, over clips where
        none are named; where systems share prompts, over prompts too, and the more cautious answer stands
    share : of a clip's frames, or of a prompt's words, in one stretch; at least one, and never all
    draws : random stretches per clip, never the attended one and all there are if they are fewer; a model's change is
        the mean over them. Of words, those whose number of tokens is nearest to that of the attended ones
    seed, level : of the random stretches, and of the intervals; a verdict's chance of being false is at most 1 - level

    Raises
    ------
    UsageError
        when a number is off, or no model has attention.
    """
    if not 0 < share < 1 or not 0 < level < 1:
        raise UsageError(
            f"The share and the level must lie between 0 and 1; got {share} and {level}."
        )
    if draws < 1:
        raise UsageError(f"At least one random draw is needed; got {draws}.")
    stack, clips = prepared(stack, clips, store)
    run = _Run(share, draws, seed)
    for start in range(0, len(clips), CHUNK):
        chunk = clips.iloc[start : start + CHUNK].reset_index(drop=True)
        filled = chunk.assign(
            prompt=chunk["prompt"].where(chunk["prompt"].str.strip() != "", PLACEHOLDER)
        )
        rows, bad = usable(
            [model for _, model in stack.estimators_], filled, store, on_progress
        )
        run.aside |= {clip.clip_id: clip.reason for clip in bad}
        if rows:
            run.add(
                stack,
                filled.iloc[rows].reset_index(drop=True),
                chunk["prompt"].iloc[rows].tolist(),
            )
    units = dict(
        zip(
            clips["clip_id"],
            zip(system_ids(clips), clips["prompt"], strict=True),
            strict=True,
        )
    )
    rows = [summary(*row, units, seed, level) for row in run.changes()]
    if not rows:
        raise UsageError(
            f"Nothing to remove: {'; '.join([*run.left_out, *run.aside.values()])}."
        )
    seen = frozenset().union(
        *(model.trained_on_ | model.selected_on_ for _, model in stack.estimators_)
    )
    aside = tuple(SetAside(clip, reason) for clip, reason in run.aside.items())
    trained_on = int(clips["clip_id"].isin(seen).sum())
    return Deletion(
        judged(rows, level), share, draws, trained_on, tuple(run.left_out), aside
    )


class Stretches(NamedTuple):
    """Start and end of the most attended stretch and of the random ones, in frames or words.

    Parameters
    ----------
    runs : the attended one first
    attended, even : share of the attention that the attended one has, and that it would have were all alike
    """

    runs: list[tuple[int, int]]
    attended: float
    even: float


Change = tuple[float, float, float, float]
"""Of a clip: how far the attended and the random removals move its score, NaN where the attention is flat; the shares
of `Stretches`."""


@dataclass
class _Run:
    """What has been removed so far: (model, aspect, unit) → clip → what it did."""

    share: float
    draws: int
    seed: int
    found: dict[tuple[str, str, str], dict[str, Change]] = field(default_factory=dict)
    left_out: dict[str, None] = field(default_factory=dict)
    aside: dict[str, str] = field(default_factory=dict)

    def add(
        self, stack: StackedMOS, chunk: pd.DataFrame, prompts: Sequence[str]
    ) -> None:
        """Try every model on a few clips; `prompts` as given, "" where there is none."""
        memory = EmbeddingStore(
            dtype=stack.estimators_[0][1].store.dtype
        )  # shortened prompts are not kept
        for name, model, embedded in embedded_once(stack, chunk):
            explained, before = (
                model.explain_embedded(embedded),
                _scores(model, embedded),
            )
            for a, (aspect, text) in enumerate(
                zip(model.aspects_, model.needs_text_, strict=True)
            ):
                found = self.found.setdefault((name, aspect, UNITS[text]), {})
                for row, clip in enumerate(chunk["clip_id"]):
                    weights = explained[row][a].maps.get("tokens" if text else "time")
                    if weights is None or (text and model.encoders()[1].pieces is None):
                        note = (
                            explained[row][a].note
                            or "its text encoder does not tell words apart"
                        )
                        self.left_out[f"{name}, {aspect}: {note}"] = None
                    elif text and not prompts[row].strip():
                        self.aside.setdefault(
                            clip, f"no prompt to remove words from for {aspect}"
                        )
                    elif text:
                        words, sums, counts = word_weights(
                            model.encoders()[1], prompts[row], weights
                        )
                        stretches = self._stretches(sums, counts, clip)
                        shorter = partial(
                            _without_words,
                            model,
                            memory,
                            embedded,
                            row,
                            prompts[row],
                            words,
                        )
                        self._compare(
                            found, clip, model, stretches, shorter, a, before[row, a]
                        )
                    else:
                        stretches = self._stretches(
                            weights, np.ones(len(weights)), clip
                        )
                        shorter = partial(_without_frames, embedded, row)
                        self._compare(
                            found, clip, model, stretches, shorter, a, before[row, a]
                        )

    def _stretches(
        self, sums: np.ndarray, counts: np.ndarray, clip: str
    ) -> Stretches | None:
        """Of frames or words of so much attention and so many tokens; the same draws for every model that looks there.

        None where they are too few to leave any.
        """
        n = len(sums)
        length = max(1, round(self.share * n))
        if length >= n:
            return None
        attention, tokens = (
            np.convolve(values, np.ones(length), "valid") for values in (sums, counts)
        )
        most = int((attention / tokens).argmax())
        drawn = np.random.default_rng(
            [self.seed, int(sha256(clip.encode("utf-8", "surrogatepass"))[:8], 16)]
        )
        off = np.abs(tokens - tokens[most])
        nearest = np.delete(off, most).min()
        starts = [
            k
            for k in drawn.permutation(len(tokens)).tolist()
            if k != most and off[k] == nearest
        ][: self.draws]
        runs = [(start, start + length) for start in (most, *starts)]
        return Stretches(
            runs, attention[most] / max(sums.sum(), _TINY), tokens[most] / counts.sum()
        )

    def _compare(
        self,
        found,
        clip: str,
        model: NeuralMOS,
        stretches: Stretches | None,
        shorter,
        a: int,
        before: float,
    ) -> None:
        moved = np.full(2, np.nan)
        if stretches is not None and stretches.attended >= FLAT * stretches.even:
            clips = shorter(stretches.runs)
            moved = (
                None if clips is None else np.abs(_scores(model, clips)[:, a] - before)
            )
        if stretches is None or moved is None:
            what = UNITS[model.needs_text_[a]]
            self.aside.setdefault(
                clip, f"too short to remove {what} for {model.aspects_[a]}"
            )
        else:
            found[clip] = (
                float(moved[0]),
                float(moved[1:].mean()),
                stretches.attended,
                stretches.even,
            )

    def changes(self) -> Iterator[tuple[str, str, str, dict[str, Change]]]:
        """Model, aspect, unit and its changes; after them, where models are several, their mean on the clips of all."""
        tested = {key: found for key, found in self.found.items() if found}
        for key, found in tested.items():
            yield *key, found
        for aspect, unit in dict.fromkeys(key[1:] for key in tested):
            alike = [
                found for key, found in tested.items() if key[1:] == (aspect, unit)
            ]
            clips = [clip for clip in alike[0] if all(clip in found for found in alike)]
            if len(alike) > 1 and clips:
                means = {
                    clip: tuple(np.mean([found[clip] for found in alike], axis=0))
                    for clip in clips
                }
                yield MEAN, aspect, unit, means


def _scores(model: NeuralMOS, clips: Embedded) -> np.ndarray:
    return model.config_.bins.decode(model.predict_embedded(clips), model.sigma_)


def _without_frames(
    embedded: Embedded, row: int, runs: Sequence[tuple[int, int]]
) -> Embedded:
    shorter = [np.delete(embedded.frames[row], slice(*run), axis=0) for run in runs]
    return Embedded(
        shorter,
        None if embedded.tokens is None else [embedded.tokens[row]] * len(shorter),
    )


def _without_words(
    model: NeuralMOS,
    memory: EmbeddingStore,
    embedded: Embedded,
    row: int,
    prompt: str,
    words,
    runs,
) -> Embedded | None:
    encoder = model.encoders()[1]
    shorter = [without_words(prompt, words, *run) for run in runs]
    keys, failed = memory.fill(encoder, {text: text for text in shorter})
    if failed:
        return None
    return Embedded(
        [embedded.frames[row]] * len(shorter),
        [memory.get(encoder, keys[text]) for text in shorter],
    )


def word_weights(
    encoder: Encoder, prompt: str, weights: np.ndarray
) -> tuple[list[tuple[int, int]], np.ndarray, np.ndarray]:
    """The words of a prompt that the encoder sees, as spans; the weight of each, summed over its tokens; their number.

    Special tokens belong to no word.
    """
    pieces = [
        (piece, weight)
        for piece, weight in zip(encoder.pieces(prompt), weights, strict=True)
    ]
    pieces = [(piece, weight) for piece, weight in pieces if piece.end > piece.start]
    words, sums, counts = [], [], []
    for word in re.finditer(r"\S*\w\S*", prompt):
        inside = [
            weight
            for piece, weight in pieces
            if piece.start < word.end() and piece.end > word.start()
        ]
        if inside:
            words.append(word.span())
            sums.append(sum(inside))
            counts.append(len(inside))
    return words, np.array(sums), np.array(counts)


def without_words(
    prompt: str, words: Sequence[tuple[int, int]], first: int, last: int
) -> str:
    """`prompt` without words number `first` up to, not including, `last`, and the space after them.

    >>> without_words("slow piano, soft", [(0, 4), (5, 11), (12, 16)], 1, 2)
    'slow soft'
    """
    rest = words[last][0] if last < len(words) else words[last - 1][1]
    return (prompt[: words[first][0]] + prompt[rest:]).strip()


def summary(
    model: str,
    aspect: str,
    removed: str,
    changes: Mapping[str, Change],
    units: Mapping[str, tuple[str, str]],
    seed: int,
    level: float,
) -> dict[str, Any]:
    """One row of the table, without what depends on the other rows.

    Parameters
    ----------
    units : clip to its system and prompt
    """
    every = np.array(list(changes.values()))
    tested = ~np.isnan(every[:, 0])
    moved, names = every[tested, :2], np.array(list(changes), dtype=object)[tested]
    systems, prompts = (
        [units[clip][0] for clip in names],
        [units[clip][1] for clip in names],
    )
    row: dict[str, Any] = {"model": model, "aspect": aspect, "removed": removed}
    for name, values in zip(
        _COMPARED, (*moved.T, moved[:, 0] - moved[:, 1]), strict=True
    ):
        if len(values):
            p, low, high = sign_flip(values, systems, prompts, seed, level)
        mean, p, low, high = (
            (values.mean(), p, low, high) if len(values) else (float("nan"),) * 4
        )
        row |= dict(
            zip((f"{name}{end}" for end in _ENDS), (mean, low, high), strict=True)
        )
    named = len(set(systems))
    shares = dict(
        zip(("attended_share", "even_share"), every[:, 2:].mean(axis=0), strict=True)
    )
    return (
        row
        | {
            "p": p,
            "clips": len(moved),
            "systems": named if named > 1 else 0,
            "flat": int((~tested).sum()),
        }
        | shares
    )


def judged(rows: Sequence[Mapping[str, Any]], level: float) -> pd.DataFrame:
    """The table of all rows, with adjusted p-values and what may be said."""
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p"])
    shown = np.where(table["difference"] > 0, MORE, LESS)
    few = (table["systems"] > 0) & (
        len(table) * 2.0 ** (1 - table["systems"]) > 1 - level
    )
    cases = {
        EVEN: table["clips"] == 0,
        STILL: (table["attended"] < HARDLY) & (table["random"] < HARDLY),
        TOO_FEW: few,
        NONE: table["p_holm"] > 1 - level,
    }
    return table.assign(verdict=np.select(list(cases.values()), list(cases), shown))


def _figure(value: float, low: float, high: float) -> str:
    return f"{value:.3g}" + (f" [{low:.3g}, {high:.3g}]" if np.isfinite(low) else "")
