"""What is checked of clips and models before anything is embedded or trained."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from base_models.clips.labels import FEWEST_LABELLED, check_labels, prompt_gaps
from base_models.errors import UsageError, some
from ensemble.training.base_model_run import training_folds
from ensemble.training.encoder_choice import EncoderChoice
from ensemble.training.model_sets import SMALL
from ensemble.training.rated_clips import RatedClips
from ensemble.training.training_setup import ModelSetup
from meta.rows import Rows


def check_plan(
    rated: RatedClips,
    setups: Mapping[str, ModelSetup],
    folds: int,
    encoders: EncoderChoice | None = None,
) -> None:
    """Refuse clips and models that training would fail on.

    Parameters
    ----------
    rated : RatedClips
    setups : mapping of str to ModelSetup
        By name of the model.
    folds : int
        How many folds of the training split are predicted out of fold; 0 for none.
    encoders : EncoderChoice, optional
        Those that the user names, which any models would use.

    Raises
    ------
    UsageError
        When a model learns from single ratings that are not there, an aspect has too
        few labels or equal ones, no clip has a prompt that is needed, there are too few
        clips or groups for the folds, or weights of an encoder are missing.
    """
    _check_ratings(rated, setups)
    _check_labels(rated, setups)
    _check_prompts(rated, setups)
    _check_parts(rated, folds)
    # The set takes encoders that are at hand, unless others are named for it.
    small_needs_none = (encoders or EncoderChoice()) == EncoderChoice()
    _check_weights(setups, any(rated.needs_text), small_needs_none)


def _check_ratings(rated: RatedClips, setups: Mapping[str, ModelSetup]) -> None:
    """Refuse presets that lack the single ratings that they learn from."""
    for preset, model in setups.items():
        if model.config.reads_ratings and rated.ratings is None:
            raise UsageError(
                f"'{preset}' learns from single ratings, and there are none: name a "
                "table of them with --ratings, or leave it out. (A MusicEval tree has "
                "them in person_mos.)"
            )


def _check_labels(rated: RatedClips, setups: Mapping[str, ModelSetup]) -> None:
    """Refuse labels that no model could learn, before anything is embedded."""
    training = rated.rows("train")
    labels = training[list(rated.aspects)].astype(float)
    for bins in {model.config.bins for model in setups.values()}:
        check_labels(labels, bins, training["clip_id"].tolist())

    for aspect in rated.aspects:
        known = labels[aspect].dropna()
        if len(known) < FEWEST_LABELLED:
            raise UsageError(
                f"Training clips that are rated for '{aspect}': {len(known)}, and at "
                f"least {FEWEST_LABELLED} are needed; rate more, or name other aspects "
                "with --aspects."
            )
        if known.nunique() == 1:
            raise UsageError(
                f"All {len(known)} training labels of '{aspect}' are "
                f"{known.iloc[0]:g}, so there is nothing to learn; name other aspects "
                "with --aspects, or clips that differ."
            )


def _check_prompts(rated: RatedClips, setups: Mapping[str, ModelSetup]) -> None:
    """Refuse clips without any prompt where all aspects and a model need one."""
    readers = [
        name for name, model in setups.items() if len(model.encoder_words(True)) > 1
    ]
    if not readers or not all(rated.needs_text):
        return
    for split in ("train", "dev"):
        clips = rated.rows(split)
        # Out of fold, a stack does without dev clips.
        if len(clips) and prompt_gaps(clips, rated.needs_text).all():
            raise UsageError(
                f"No {split} clip has a prompt, against which {some(rated.aspects)} is "
                "judged. Add a column 'prompt', or name aspects that are judged "
                "without one (--aspects)."
            )


def _check_parts(rated: RatedClips, folds: int) -> None:
    """Refuse groups of which none can be held out, and more folds than clips."""
    rows = Rows.from_clips(rated.rows("train"), rated.aspects, rated.group)
    what = "training clips"
    cure = "add clips, or give training a larger share with --split"
    if rated.group:
        what = f"groups of '{rated.group}' among the training clips"
        cure = "name another column with --group, or leave it out"
    units = np.arange(len(rows)) if rows.groups is None else rows.groups
    n_units = len(set(units.tolist()))
    if n_units < 2:
        raise UsageError(
            f"There are {n_units} {what}, and training holds some out to select the "
            f"best epoch or parameters: at least 2 are needed; {cure}."
        )
    if not folds:
        return

    if n_units < folds:
        raise UsageError(
            f"--folds {folds} needs at least {folds} {what}, and there are {n_units}; "
            f"name fewer folds; or {cure}."
        )
    fold_of_clip = training_folds(rows, folds)
    for fold in range(folds):
        is_inside = fold_of_clip != fold
        n_labelled = np.isfinite(rows.labels[is_inside]).sum(axis=0).min()
        n_left = len(set(units[is_inside].tolist()))
        if n_labelled < FEWEST_LABELLED or n_left < 2:
            raise UsageError(
                f"With --folds {folds} a model would learn from {n_labelled} rated "
                f"clips, of {n_left} {what}; at least {FEWEST_LABELLED} of 2 are "
                f"needed. Name more folds; or {cure}."
            )


def _check_weights(
    setups: Mapping[str, ModelSetup], with_text: bool, small_needs_none: bool
) -> None:
    """Name every preset whose encoders lack weights, before anything is embedded."""
    from base_models.encoders import check_weights
    from base_models.encoders.weights import MissingWeights

    users: dict[str, list[str]] = {}
    for preset, model in setups.items():
        for word in model.encoder_words(with_text):
            users.setdefault(word, []).append(preset)

    problems = {}
    for word, presets in users.items():
        try:
            check_weights(word)
        except UsageError as error:
            reason = error.brief if isinstance(error, MissingWeights) else str(error)
            problems[word] = f"{', '.join(presets)}: {reason}"
    if not problems:
        return

    # The first one says how its weights are had; the others are named.
    first, *others = problems
    more = [f"'{word}' ({', '.join(users[word])})" for word in others]
    message = problems[first]
    if more:
        message += f" Weights are missing as well of {', '.join(more)}."
    if small_needs_none:
        message += f" Or --models {SMALL}, which needs no download."
    raise UsageError(message)
