"""Audio files to score: a clip table of them, and a note about those that are cut."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from base_models.clips.audio import USED_SECONDS
from base_models.clips.segments.reference import stem_of
from base_models.clips.undecodable_names import as_text
from ensemble.estimator.predicting.audio_input import files_below
from meta.score_flags import CUT


def clips_from_files(audio: Sequence[str], prompt: str | None) -> pd.DataFrame:
    """Make a clip table from audio files, or folders of them, and one prompt for all.

    Returns
    -------
    clips : DataFrame
        ``clip_id``, ``audio`` and ``prompt``. Ids are file names without suffix, with
        the times of a segment; where two files have the same name, ids are paths. A
        file that is given twice has two rows of one id.

    Raises
    ------
    UsageError
        When a folder holds no audio.
    """
    paths: list[Path] = []
    for name in audio:
        paths += files_below(Path(name))

    names = [as_text(str(path)) for path in paths]
    ids = [stem_of(name) for name in names]
    # Two folders may hold files of one name; their paths tell them apart.
    if len(set(ids)) != len(set(paths)):
        ids = names
    return pd.DataFrame({"clip_id": ids, "audio": names, "prompt": prompt or ""})


def length_note(flags: Sequence[str]) -> str:
    """Say how many clips are longer than what is scored of them; "" where none is.

    Parameters
    ----------
    flags : sequence of str
        Of each clip, as scores have them: the files need not be read again.
    """
    n_longer = sum(CUT in of_clip.split() for of_clip in flags)
    if not n_longer:
        return ""
    if len(flags) > 1:
        verb = "is" if n_longer == 1 else "are"
        subject = f"{n_longer} of {len(flags)} clips {verb}"
    else:
        subject = "the clip is"
    return (
        f"{subject} longer than {USED_SECONDS:g} s; only the first {USED_SECONDS:g} s "
        "are scored: --windows all scores all of it"
    )
