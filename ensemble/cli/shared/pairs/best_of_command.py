"""``predict_mos --best-of``: of all that was scored, only the best of each group."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from ensemble.cli.shared.exit_codes import say_notes
from ensemble.cli.shared.output.output_files import STDOUT, put_data
from ensemble.cli.shared.pairs.pair_options import PATHS, parse_weights

if TYPE_CHECKING:
    import pandas as pd

    from ensemble.estimator.stacked_mos import StackedMOS
    from ensemble.formats import Scores

FOLDER = "folder"
PROMPT = "prompt"


def keep_best(
    options: Namespace, stack: StackedMOS, clips: pd.DataFrame, scores: Scores
) -> Scores:
    """Only the best clips of each group, where the options ask for that.

    Parameters
    ----------
    options : of the command
    stack : what scored the clips
    clips : the clips that were read
    scores : theirs, with distributions
    """
    if options.best_of is None:
        return scores
    from ensemble.scoring.pairs.best_of import best_of

    grouped = _with_groups(options, clips)
    found = best_of(
        scores,
        grouped,
        stack,
        number=options.best_of,
        group=options.group or PROMPT,
        weights=parse_weights(options),
    )
    say_notes(found.notes)
    # The distributions were asked for by this alone, or are of the chosen clips.
    wanted = scores.distributions if options.distributions is not None else None
    if wanted is not None:
        is_chosen = wanted.frame["clip_id"].isin(found.chosen["clip_id"])
        wanted = replace(wanted, frame=wanted.frame[is_chosen].reset_index(drop=True))
    return replace(scores, frame=found.chosen, distributions=wanted)


def _with_groups(options: Namespace, clips: pd.DataFrame) -> pd.DataFrame:
    """The clips with ids and the column of their groups."""
    from base_models.encoders.embed import clip_ids

    named = clips.assign(clip_id=clip_ids(clips))
    if options.clips:
        return named
    if options.group == FOLDER:
        return named.assign(
            folder=[str(Path(audio).parent) for audio in clips["audio"]]
        )
    # Files that are named one by one have one prompt, or none: they are one group.
    prompt = options.prompt or "(no prompt)"
    return named.assign(prompt=prompt)


def put_paths(options: Namespace, scores: Scores) -> bool:
    """Write the files of the chosen clips one a line, where that is asked for."""
    if options.format != PATHS:
        return False
    data = "".join(f"{path}\n" for path in scores.frame["audio"]).encode()
    put_data(data, options.out or STDOUT)
    return True
