"""Does a model's score depend on what it attends to?

The most attended stretch of each clip is taken away, and as much at random, and the
changes of the score are compared. Seconds are removed from the embeddings: exactly what
the network sees, without encoding cut audio, whose edge would be heard. Words are
removed from the prompt, which is encoded anew, since the vectors of the other tokens
depend on them, too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd

from base_models.clips.read_clips import SetAside
from base_models.encoders.base import Encoder
from base_models.encoders.embed import system_ids
from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError, some
from base_models.networks.attention import Attention
from base_models.networks.batches import EmbeddedClips
from base_models.training.neural_mos import NeuralMOS
from ensemble.attention.deletion_table import (
    Change,
    Comparison,
    Deletion,
    judged,
    summary,
)
from ensemble.attention.removal import (
    Removal,
    Span,
    Stretches,
    without_words,
    word_weights,
)
from ensemble.estimator.predict_base_models import is_pooled
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.scoring.prepared_stack import (
    clip_chunks,
    clip_models,
    embedded_once,
    prepared,
    usable,
    with_placeholder,
)

CLIPS_PER_CHUNK = 8
"""Clips tested together; each is held in memory once per removal."""
MEAN = "mean of the models"
FLAT = 1.02
"""Times the even share; a clip whose most attended stretch has less says nothing about
attention."""
UNITS = {False: "seconds", True: "words"}
"""What is removed, by whether the aspect is judged against the prompt."""

Shorten = Callable[[Sequence[Span]], EmbeddedClips | None]
"""Makes one shortened clip per stretch; None where one cannot be encoded."""


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
    stack : StackedMOS
        Fitted, of base models over encoders; those on pooled embeddings have no
        attention and are left out.
    clips : DataFrame
        As for `score_clips`; labels are not needed. Test and intervals are over
        ``system_id``, or over clips where none are named; where systems share prompts,
        over prompts too, and the more cautious answer stands.
    store : EmbeddingStore
        Where embeddings are kept; those of shortened prompts are not.
    share : float
        Of a clip's frames, or of a prompt's words, in one stretch; at least one, and
        never all.
    draws : int
        Random stretches per clip, never the attended one, and all there are if they are
        fewer; a model's change is the mean over them. Of words, those whose number of
        tokens is nearest to that of the attended ones.
    seed : int
        Of the random stretches.
    level : float
        Of the intervals; a verdict's chance of being false is at most ``1 - level``.
    on_progress : callable, optional
        Called as ``on_progress(encoder, done, total)``.

    Raises
    ------
    UsageError
        When a number is off, or no model has attention.
    """
    if not 0 < share < 1 or not 0 < level < 1:
        raise UsageError(
            f"The share and the level must lie between 0 and 1; got {share} and "
            f"{level}."
        )
    if draws < 1:
        raise UsageError(f"At least one random draw is needed; got {draws}.")

    stack, clips = prepared(stack, clips, store)
    findings = _Findings(Removal(share, draws, seed))
    stack = _with_attention_alone(stack, findings)
    models = clip_models(stack)
    for chunk in clip_chunks(clips, CLIPS_PER_CHUNK):
        # Without a prompt, words cannot be removed but seconds can.
        encodable = with_placeholder(chunk)
        rows, unusable = usable(models, encodable, store, on_progress)
        for clip in unusable:
            findings.set_aside[clip.clip_id] = clip.reason
        if rows:
            kept = encodable.iloc[rows].reset_index(drop=True)
            prompts = chunk["prompt"].iloc[rows].tolist()
            # Shortened prompts are nobody's: they are kept in memory, for one chunk.
            memory = EmbeddingStore(dtype=store.dtype)
            findings.add(stack, kept, prompts, memory)

    unit_names = zip(system_ids(clips), clips["prompt"], strict=True)
    units = dict(zip(clips["clip_id"], unit_names, strict=True))
    summaries = [
        summary(comparison, changes, units, seed=seed, level=level)
        for comparison, changes in findings.with_means()
    ]
    if not summaries:
        reasons = [*findings.left_out, *findings.set_aside.values()]
        raise UsageError(f"Nothing to remove: {'; '.join(reasons)}.")

    return Deletion(
        table=judged(summaries, level),
        share=share,
        draws=draws,
        trained_on=_n_trained_on(models, clips),
        left_out=tuple(findings.left_out),
        set_aside=tuple(
            SetAside(clip, reason) for clip, reason in findings.set_aside.items()
        ),
    )


def _with_attention_alone(stack: StackedMOS, findings: _Findings) -> StackedMOS:
    """A copy of a prepared stack without the models on pooled embeddings."""
    pooled = [name for name, model in stack.estimators_ if is_pooled(model)]
    if pooled:
        reason = "no attention, since they regress on pooled embeddings"
        findings.left_out[f"{some(pooled)}: {reason}"] = None
    stack = copy.copy(stack)
    stack.estimators_ = [
        (name, model) for name, model in stack.estimators_ if not is_pooled(model)
    ]
    return stack


def _n_trained_on(models: Sequence[NeuralMOS], clips: pd.DataFrame) -> int:
    """How many of the clips trained a base model, or chose its epoch."""
    seen: set[str] = set()
    for model in models:
        seen |= model.trained_on_ | model.selected_on_
    return int(clips["clip_id"].isin(seen).sum())


@dataclass(frozen=True)
class _Case:
    """One clip, as one model scores it for one aspect.

    Parameters
    ----------
    clip, prompt : str
        The prompt as given, "" where there is none.
    embedded, row
        Embedded clips, and which of them is this one.
    model, aspect
        The model, and the number of the aspect among those that it scores.
    score : float
        Before anything is removed.
    """

    clip: str
    prompt: str
    embedded: EmbeddedClips
    row: int
    model: NeuralMOS
    aspect: int
    score: float

    @property
    def aspect_name(self) -> str:
        return self.model.aspects_[self.aspect]

    @property
    def text_encoder(self) -> Encoder | None:
        """The encoder of the prompt, for an aspect that is judged against it."""
        if not self.model.needs_text_[self.aspect]:
            return None
        _, text = self.model.encoders()
        return text

    def change(self, stretches: Stretches, shorten: Shorten) -> Change | None:
        """What removing the stretches does; None where what is left has no encoding."""
        # Even attention prefers no stretch, so there is nothing to compare.
        moved = np.full(2, np.nan)
        if stretches.attended >= FLAT * stretches.even:
            shortened = shorten(stretches.runs)
            if shortened is None:
                return None
            scores = _scores(self.model, shortened)[:, self.aspect]
            moved = np.abs(scores - self.score)
        return Change(
            attended=float(moved[0]),
            random=float(moved[1:].mean()),
            attended_share=stretches.attended,
            even_share=stretches.even,
        )


@dataclass
class _Findings:
    """What has been removed so far.

    Parameters
    ----------
    removal : Removal
    changes : dict
        What is compared, to clip id, to what removing did.
    left_out : dict
        Reasons for which models and aspects are left out, in order and each once.
    set_aside : dict
        Clip id to the reason for which the clip is set aside.
    """

    removal: Removal
    changes: dict[Comparison, dict[str, Change]] = field(default_factory=dict)
    left_out: dict[str, None] = field(default_factory=dict)
    set_aside: dict[str, str] = field(default_factory=dict)

    def add(
        self,
        stack: StackedMOS,
        clips: pd.DataFrame,
        prompts: Sequence[str],
        memory: EmbeddingStore,
    ) -> None:
        """Test every model on a few clips.

        Parameters
        ----------
        stack : StackedMOS
            Prepared.
        clips : DataFrame of n rows
            All of which can be embedded.
        prompts : n str
            As given, "" where there is none.
        memory : EmbeddingStore
            For shortened prompts.
        """
        for name, model, embedded in embedded_once(stack, clips):
            explained = model.explain_embedded(embedded)
            scores = _scores(model, embedded)
            # Heads of one model may differ in what they read, so each is tested alone.
            for aspect, aspect_name in enumerate(model.aspects_):
                removed = UNITS[model.needs_text_[aspect]]
                comparison = Comparison(name, aspect_name, removed)
                self.changes.setdefault(comparison, {})
                for row, clip in enumerate(clips["clip_id"]):
                    case = _Case(
                        clip=clip,
                        prompt=prompts[row],
                        embedded=embedded,
                        row=row,
                        model=model,
                        aspect=aspect,
                        score=scores[row, aspect],
                    )
                    self._add_case(comparison, case, explained[row][aspect], memory)

    def _add_case(
        self,
        comparison: Comparison,
        case: _Case,
        attention: Attention,
        memory: EmbeddingStore,
    ) -> None:
        """Note the change of one clip, or why there is none."""
        encoder = case.text_encoder
        weights = attention.maps.get("time" if encoder is None else "tokens")
        if weights is None or (encoder is not None and encoder.pieces is None):
            note = attention.note or "its text encoder does not tell words apart"
            self.left_out[f"{comparison.model}, {comparison.aspect}: {note}"] = None
            return
        if encoder is not None and not case.prompt.strip():
            reason = f"no prompt to remove words from for {comparison.aspect}"
            self.set_aside.setdefault(case.clip, reason)
            return

        if encoder is None:
            # Every frame counts as one token.
            tokens = np.ones(len(weights))
            shorten: Shorten = partial(_without_frames, case.embedded, case.row)
        else:
            words, weights, tokens = word_weights(encoder, case.prompt, weights)
            shorten = partial(_without_words, case, encoder, words, memory)
        stretches = self.removal.stretches(weights, tokens, case.clip)
        change = None
        if stretches is not None:
            change = case.change(stretches, shorten)
        if change is None:
            reason = f"too short to remove {comparison.removed} for {comparison.aspect}"
            self.set_aside.setdefault(case.clip, reason)
        else:
            self.changes[comparison][case.clip] = change

    def with_means(self) -> Iterator[tuple[Comparison, dict[str, Change]]]:
        """Yield the changes of each model, then the means of several models.

        A mean is over all models that were tested alike, on the clips of all of them.
        """
        by_model = {key: changes for key, changes in self.changes.items() if changes}
        yield from by_model.items()

        # Models that are tested alike: for one aspect, by removing the same.
        alike: dict[tuple[str, str], list[dict[str, Change]]] = {}
        for key, changes in by_model.items():
            alike.setdefault((key.aspect, key.removed), []).append(changes)
        for (aspect, removed), several in alike.items():
            clips = set.intersection(*(set(changes) for changes in several))
            if len(several) < 2 or not clips:
                continue
            means = {}
            for clip in several[0]:
                if clip in clips:
                    of_models = [changes[clip] for changes in several]
                    means[clip] = Change._make(np.mean(of_models, axis=0))
            yield Comparison(MEAN, aspect, removed), means


def _scores(model: NeuralMOS, clips: EmbeddedClips) -> np.ndarray:
    """Scores of embedded clips, shape (n, aspects)."""
    distributions = model.predict_embedded(clips)
    scores: np.ndarray = model.config_.bins.decode(distributions, model.sigma_)
    return scores


def _without_frames(
    embedded: EmbeddedClips, row: int, runs: Sequence[Span]
) -> EmbeddedClips:
    """One clip without each of the stretches of frames."""
    frames = embedded.frames[row]
    shortened = [np.delete(frames, slice(start, end), axis=0) for start, end in runs]
    tokens = None
    if embedded.tokens is not None:
        tokens = [embedded.tokens[row]] * len(shortened)
    return EmbeddedClips(shortened, tokens)


def _without_words(
    case: _Case,
    encoder: Encoder,
    words: Sequence[Span],
    memory: EmbeddingStore,
    runs: Sequence[Span],
) -> EmbeddedClips | None:
    """One clip with its prompt, encoded anew, without each of the runs of words."""
    prompts = [without_words(case.prompt, words, first, last) for first, last in runs]
    keys, failed = memory.fill(encoder, {prompt: prompt for prompt in prompts})
    if failed:
        return None
    tokens = [memory.get(encoder, keys[prompt]) for prompt in prompts]
    frames = [case.embedded.frames[case.row]] * len(prompts)
    return EmbeddedClips(frames, tokens)
