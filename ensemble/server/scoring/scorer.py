"""What the worker does: score uploaded clips with the stack that it alone touches."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from base_models.clip_status import OK
from base_models.clips.read_clips import SetAside
from base_models.errors import MachineFault, StackedMOSError, UsageError, some
from base_models.scales import Scale
from ensemble.attention.explain import explain_clips, file_name
from ensemble.attention.labels import short
from ensemble.attention.over_time_picture import over_time_picture
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.formats import Scores
from ensemble.scoring.audio_files import length_note
from ensemble.scoring.score_clips import IntervalSettings, score_clips
from ensemble.scoring.score_windows import WindowedScores, score_windows
from ensemble.server.refusals import Refusal
from ensemble.server.scoring.cures import cure_of
from ensemble.server.scoring.score_form import ScoreRequest
from ensemble.server.scoring.upload_store import UploadStore
from ensemble.server.work_queue import Job
from meta.score_columns import FLAGS, REASON, STATUS

MOST_PICTURES = 12
"""Clips of a request that pictures are drawn of; each takes about a second."""


@dataclass(frozen=True, eq=False)
class ScoredUpload:
    """Scores of uploaded clips, and what is shown beside them.

    Parameters
    ----------
    scores : Scores
        A row per clip in the order of the request; ``audio`` is the uploaded name.
    request : ScoreRequest
    notes : tuple of str
        What a reader of the scores must know.
    pictures : dict of str to tuple of Path
        Clip id → pictures of what its score rests on.
    over_time : DataFrame or None
        Scores of windows, where these were asked for.
    """

    scores: Scores
    request: ScoreRequest
    notes: tuple[str, ...]
    pictures: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    over_time: pd.DataFrame | None = None


class Scorer:
    """A stack, the store of its embeddings, and what is said of every score.

    Parameters
    ----------
    stack : StackedMOS
        Fitted, of base models over encoders.
    store : UploadStore
    name : str
        What the stack is called on pages.
    """

    def __init__(self, stack: StackedMOS, store: UploadStore, name: str) -> None:
        self.stack = stack
        self.store = store
        self.name = name

    def score(self, request: ScoreRequest, folder: Path, job: Job) -> ScoredUpload:
        """Score the clips of a request; the job's `check` may stop it between clips.

        Parameters
        ----------
        request : ScoreRequest
        folder : Path
            Where pictures go.
        job : Job

        Raises
        ------
        Refusal
            When no clip could be scored, or there is no time left.
        """
        clips = pd.DataFrame(
            {
                "clip_id": [clip.clip_id for clip in request.clips],
                "audio": [str(clip.path) for clip in request.clips],
                "prompt": request.facts.prompts,
                "system_id": request.facts.systems,
            }
        )
        on_progress = _progress(job)
        try:
            scores, windowed = self._scores(clips, request, on_progress)
        # A machine that fails is not the fault of the clips.
        except (Refusal, MachineFault):
            raise
        except StackedMOSError as error:
            message = _with_names(str(error), request)
            raise Refusal(422, "unusable", message) from error
        finally:
            self.store.trim()

        pictures = {}
        if request.attention:
            pictures = self._pictures(clips, scores, windowed, folder=folder, job=job)
        notes = self._notes(scores, windowed)
        frame = _named_frame(scores.frame, request)
        _refuse_without_scores(frame)
        return ScoredUpload(
            scores=replace(
                scores, frame=frame, set_aside=_named_set_aside(scores, request)
            ),
            request=request,
            notes=(*request.facts.notes, *notes),
            pictures=pictures,
            over_time=None if windowed is None else windowed.over_time,
        )

    def _scores(
        self,
        clips: pd.DataFrame,
        request: ScoreRequest,
        on_progress: Callable[[str, int, int], None],
    ) -> tuple[Scores, WindowedScores | None]:
        score = functools.partial(
            score_clips,
            self.stack,
            store=self.store,
            intervals=IntervalSettings(request.level),
            on_progress=on_progress,
            distributions="stack",
        )
        if not request.windows:
            return score(clips), None
        windowed = score_windows(self.stack, clips, score, on_progress=on_progress)
        return windowed.scores, windowed

    def _notes(self, scores: Scores, windowed: WindowedScores | None) -> list[str]:
        notes = []
        scale_note = self.stack.scales_.note(scores.aspects)
        if scale_note:
            notes.append(scale_note)
        if scores.left_out:
            notes.append(
                f"no prompt: {', '.join(scores.left_out)} left out, since it is judged "
                "against the prompt"
            )
        if windowed is not None:
            notes += windowed.notes
        elif note := length_note(scores.usable[FLAGS].tolist()):
            # The page's word for the option that the note of the command names.
            notes.append(
                note.replace("--windows all", "the choice “all of longer clips”")
            )
        if scores.check is not None:
            notes += scores.check.sentences
        return [*notes, *scores.audio_notes]

    def _pictures(
        self,
        clips: pd.DataFrame,
        scores: Scores,
        windowed: WindowedScores | None,
        folder: Path,
        job: Job,
    ) -> dict[str, tuple[Path, ...]]:
        """Draw what scores rest on, and scores over time; clip id → files."""
        is_scored = clips["clip_id"].isin(scores.usable["clip_id"])
        chosen = clips[is_scored].head(MOST_PICTURES)
        found: dict[str, list[Path]] = {clip: [] for clip in chosen["clip_id"]}
        for clip in found:
            job.check()
            one = clips[clips["clip_id"] == clip]
            explain_clips(
                self.stack, one, self.store, folder=folder, aspects=scores.aspects
            )
            found[clip].append(folder / f"{file_name(clip)}.png")
        if windowed is not None:
            own = Scale(1, 5)
            scales = {name: scores.scales.get(name, own) for name in scores.aspects}
            for clip, rows in windowed.over_time.groupby("clip_id", sort=False):
                if clip in found and rows["start"].nunique() > 1:
                    path = folder / f"{file_name(clip)}-over-time.png"
                    title = f"{short(clip, 90)}, over time"
                    path.write_bytes(over_time_picture(title, rows, scales))
                    found[clip].append(path)
        return {clip: tuple(paths) for clip, paths in found.items()}


def refuse_without_base_models(stack: StackedMOS) -> None:
    """Refuse a stack that reads no audio.

    Raises
    ------
    UsageError
        When it holds predictions alone, or lacks the weights of some models.
    """
    own = {name for name, _ in stack.estimators_}
    absent = [name for name in stack.final_estimator_.layout_.models if name not in own]
    if absent or not own:
        raise UsageError(
            f"The stack holds no weights of {some(absent)}, so it cannot score clips "
            "by itself; name a stack that fit_meta made of runs of fit_base."
        )


def _progress(job: Job) -> Callable[[str, int, int], None]:
    """What the encoders report to; the job may end there."""

    def report(encoder: str, done: int, total: int) -> None:
        job.check()
        job.done = done
        job.total = total

    return report


def _named_frame(frame: pd.DataFrame, request: ScoreRequest) -> pd.DataFrame:
    """The rows with the names that people know, and not where files lie here."""
    name_of = {str(clip.path): clip.name for clip in request.clips}
    named = frame.assign(audio=frame["audio"].map(name_of))
    named[REASON] = [_with_names(reason, request) for reason in frame[REASON]]
    return named


def _named_set_aside(scores: Scores, request: ScoreRequest) -> tuple[SetAside, ...]:
    return tuple(
        replace(clip, reason=_with_names(clip.reason, request))
        for clip in scores.set_aside
    )


def _with_names(text: str, request: ScoreRequest) -> str:
    for clip in request.clips:
        text = text.replace(str(clip.path), clip.name)
    return text


def _refuse_without_scores(frame: pd.DataFrame) -> None:
    bad = frame[frame[STATUS] != OK]
    if len(bad) < len(frame):
        return
    first = bad.iloc[0]
    others = "" if len(bad) == 1 else f" (and {len(bad) - 1} clips more)"
    reason = str(first[REASON])
    if first["audio"] not in reason:
        reason = f"{first['audio']}: {reason}"
    cure = cure_of(str(first[STATUS]))
    raise Refusal(
        422,
        str(first[STATUS]),
        f"No clip could be scored: {reason.rstrip('.')}{others}. {cure}",
        clip=str(first["audio"]),
    )
