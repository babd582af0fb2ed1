"""``predict_mos --report``: the page of the clips that a stack has scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from ensemble.cli.shared.output.report_options import provenance_of, put_report
from ensemble.cli.shared.saved_stacks.stacks import chosen_folder

if TYPE_CHECKING:
    from ensemble.estimator.stacked_mos import StackedMOS
    from ensemble.formats import Scores
    from ensemble.reporting.answers.answer_content import Background


def put_answer(options: Namespace, stack: StackedMOS, scores: Scores) -> None:
    """Write the page of ``--report``, if one is asked for, and say where it is.

    Parameters
    ----------
    options : of `predict_mos`
    stack : what scored the clips
    scores : of all clips, with distributions
    """
    if options.report is None:
        return
    from ensemble.reporting.answers.answer_content import AnswerContent

    content = AnswerContent.of(
        scores,
        level=options.level,
        background=background_of(options, stack, scores),
    )
    files: Sequence[str] = options.predictions or ()
    data = options.clips or (files[0] if len(files) == 1 else None)
    put_report(
        options, content, provenance_of("predict_mos", data, chosen_folder(options))
    )


def background_of(options: Namespace, stack: StackedMOS, scores: Scores) -> Background:
    """What is known of the stack that scored some clips."""
    from ensemble.reporting.answers.answer_content import Background
    from ensemble.reporting.answers.words import share

    fitted_on = stack.final_estimator_.fitted_on_
    usable = scores.usable
    n_seen = int(usable["clip_id"].isin(fitted_on).sum())
    notes = []
    # Learners of the folds have not seen the rating of the clip.
    if n_seen and not options.cross_fit:
        notes.append(
            f"How it does on new clips: {share(n_seen, len(usable))} of these are "
            "among those that the stack was fitted on."
        )
    return Background(
        stack=chosen_folder(options).name,
        learnt_from=len(fitted_on),
        demo=stack.demo_,
        notes=tuple(notes),
    )
