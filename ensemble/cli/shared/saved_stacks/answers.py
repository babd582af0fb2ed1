"""``predict_mos --report``: the page of the clips that a stack has scored."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from ensemble.cli.shared.output.report_options import put_report

if TYPE_CHECKING:
    from ensemble.estimator.stacked_mos import StackedMOS
    from ensemble.formats import Scores
    from ensemble.reporting.answers.answer_content import Background
    from ensemble.reporting.section import Provenance
    from meta.comparison.systems.system_comparison import SystemComparison


def put_answer(
    options: Namespace, stack: StackedMOS, scores: Scores, provenance: Provenance
) -> None:
    """Write the page of ``--report``, if one is asked for, and say where it is.

    Parameters
    ----------
    options : of `predict_mos`
    stack : what scored the clips
    scores : of all clips, with distributions
    provenance : how they came about
    """
    if options.report is None:
        return
    from ensemble.reporting.answers.answer_content import AnswerContent

    # Learners of the folds have seen no rating of these clips.
    seen = None if options.cross_fit else scores
    content = AnswerContent.of(
        scores,
        _compared(stack, scores, is_cross_fitted=options.cross_fit),
        level=options.level,
        background=background_of(stack, provenance.stack, seen),
    )
    put_report(options, content, provenance)


def _compared(
    stack: StackedMOS, scores: Scores, *, is_cross_fitted: bool
) -> SystemComparison | None:
    """The systems of the clips, where they name two or more."""
    from ensemble.compare_systems import (
        Outlook,
        Pairing,
        StackKnowledge,
        compare_data,
        scored_data,
    )
    from ensemble.rated_systems import ONE_SYSTEM

    named = scores.usable
    if "system_id" not in named:
        return None
    systems = named["system_id"].fillna("").astype(str)
    is_compared = (systems != "") & named[list(scores.aspects)].notna().any(axis=1)
    if systems[is_compared].nunique() < 2:
        return None
    pairing = Pairing.of(named)
    data = scored_data(scores, pairing)
    data = replace(data, clips=data.clips[data.clips["system_id"] != ONE_SYSTEM])
    known = StackKnowledge.of(stack.final_estimator_)
    if is_cross_fitted:
        # Learners of the folds have seen no rating of the systems of these clips.
        known = replace(known, fitted_on=frozenset())
    return compare_data(data, Outlook.of(scores.distributions), known)


def background_of(stack: StackedMOS, name: str, scores: Scores | None) -> Background:
    """What is known of a stack that scored some clips.

    Parameters
    ----------
    stack : fitted
    name : what the stack is called
    scores : of clips whose ratings it may have seen; None where it has not
    """
    from ensemble.reporting.answers.answer_content import Background
    from ensemble.reporting.answers.words import share

    fitted_on = stack.final_estimator_.fitted_on_
    notes = []
    if scores is not None:
        usable = scores.usable
        n_seen = int(usable["clip_id"].isin(fitted_on).sum())
        if n_seen:
            notes.append(
                f"How it does on new clips: {share(n_seen, len(usable))} of these are "
                "among those that the stack was fitted on."
            )
    return Background(
        stack=name,
        learnt_from=len(fitted_on),
        demo=stack.demo_,
        notes=tuple(notes),
    )
