"""``predict_mos --explain``: make the folder, and say what was written there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from base_models.errors import UsageError
from base_models.files import atomic_write
from base_models.scales import Scale
from ensemble.cli.shared.exit_codes import listed, say
from ensemble.cli.shared.output.output_files import check_folder

if TYPE_CHECKING:
    import pandas as pd

    from base_models.encoders.store import EmbeddingStore
    from ensemble.estimator.stacked_mos import StackedMOS
    from ensemble.scoring.score_clips import Scores
    from ensemble.scoring.score_windows import WindowedScores


def make_folder(name: str) -> None:
    """Make the folder for explanations.

    This is done before anything is encoded, since a folder that cannot be made should
    not be found out after an hour of encoding.

    Raises
    ------
    UsageError
        when the name is empty, or nothing can be written there.
    """
    if not name:
        raise UsageError("--explain takes the folder to write to; got ''.")
    Path(name).mkdir(parents=True, exist_ok=True)
    check_folder(f"--explain {name}", name)


def explain(
    folder: str,
    stack: StackedMOS,
    clips: pd.DataFrame,
    store: EmbeddingStore,
    scores: Scores,
) -> None:
    """Write what the base models attended to, or score by, in the scored clips."""
    from ensemble.attention.explain import explain_clips
    from ensemble.attention.labels import is_drawable
    from ensemble.estimator.predict_base_models import is_pooled, reads_clips

    is_scored = clips["clip_id"].astype(str).isin(scores.usable["clip_id"])
    scored = clips[is_scored]
    if scored.empty:
        return

    notes = explain_clips(
        stack,
        scored,
        store,
        folder=folder,
        aspects=scores.aspects,
        scores=_in_words(scores),
    )
    for note in notes:
        say(f"not in {folder}: {note}")
    foreign = [clip for clip in scored["clip_id"].astype(str) if not is_drawable(clip)]
    if foreign:
        say(
            f"note: transliterated on the pictures: {listed(foreign)}; no font here "
            "has their letters, or they run from right to left"
        )
    inner = stack.scales_.inner
    mapped = [name for name in scores.aspects if stack.scales_.of_labels(name) != inner]
    if mapped:
        say(f"note: in {folder}, {', '.join(mapped)} is in points of {inner}")
    pooled = [is_pooled(model) for _, model in stack.estimators_ if reads_clips(model)]
    found = []
    if not all(pooled):
        found.append("what the base models attended to")
    if any(pooled):
        found.append("what scores from pooled embeddings consist of")
    say(f"{' and '.join(found)} in {len(scored)} clips: {folder}")


def draw_over_time(folder: str, windowed: WindowedScores) -> None:
    """Draw the scores of clips of several windows over time, one picture each."""
    from base_models.clips.audio import USED_SECONDS
    from ensemble.attention.explain import file_name
    from ensemble.attention.labels import short
    from ensemble.attention.over_time_picture import over_time_picture

    scores = windowed.scores
    own = Scale(1, 5)
    scales = {name: scores.scales.get(name, own) for name in scores.aspects}
    words = _in_words(scores)
    n_drawn = 0
    for clip, rows in windowed.over_time.groupby("clip_id", sort=False):
        if rows["start"].nunique() == 1:
            continue
        n_drawn += 1
        title = f"{short(clip, 90)}, over time\n{words[clip]}"
        file = Path(folder) / f"{file_name(clip)}-over-time.png"
        atomic_write(file, over_time_picture(title, rows, scales))
    if n_drawn:
        clips = "clip is" if n_drawn == 1 else "clips are"
        say(
            f"scores over time of {n_drawn} longer {clips} drawn; all else there is of "
            f"their first {USED_SECONDS:g} s: {folder}"
        )


def _in_words(scores: Scores) -> dict[str, str]:
    """The scores of each clip with their intervals, for its picture."""
    words = {}
    for row in scores.usable.to_dict("records"):
        parts = [
            f"{aspect} {row[aspect]:.2f} "
            f"[{row[f'{aspect}_low']:.2f}, {row[f'{aspect}_high']:.2f}]"
            for aspect in scores.aspects
            # NaN where an aspect needs a prompt and the clip has none.
            if row[aspect] == row[aspect]
        ]
        words[str(row["clip_id"])] = ", ".join(parts)
    return words
