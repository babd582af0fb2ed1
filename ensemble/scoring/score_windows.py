"""Score clips that are longer than what models read, window by window.

Each window (`base_models.clips.segments.windows`) is scored like a clip of its own, and
the windows of a clip are pooled into one score: a mean in which each second of the clip
counts once. Embeddings of windows are stored like those of clips, so that a run that
was stopped goes on where it was.

Notes
-----
The windows of a clip are not independent: they overlap, and have the system, the
prompt and the taste of a recording in common. The interval of the pooled score is
therefore the mean of their intervals, end by end, which is right where a model errs
alike in all windows of a clip; it does not become narrower with their number. It was
calibrated on clips of which the first seconds alone were read.

Base models learn from the first seconds of each clip, whatever its length: a rating is
of a clip, and to give it to each window would label seconds with what was heard in
others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from base_models.clips.audio import USED_SECONDS
from base_models.clips.audio_files.levels import SILENCE_DBFS
from base_models.clips.read_clips import SetAside
from base_models.clips.segments.windows import (
    DIVIDING,
    HOP_SECONDS,
    Window,
    windows_of,
)
from base_models.encoders.embed import clip_ids
from base_models.encoders.filling.fill_store import Progress
from base_models.errors import ClipError, UsageError, some
from base_models.scales import Scale
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.formats import Distributions, Scores
from ensemble.scoring.audio_flags import (
    flag_notes,
    flags_of_whole,
    needed_bandwidth,
)
from ensemble.scoring.every_row import among, kept_columns, without_repeats
from ensemble.scoring.prepared_stack import clip_models, stored_tables
from meta.score_columns import (
    BANDWIDTH_HZ,
    FLAGS,
    OUT_OF_RANGE,
    SECONDS,
    score_columns,
)
from meta.score_flags import with_flag
from meta.uncertainty.clip_range import RangeCheck

OVER_TIME_COLUMNS = (
    "clip_id",
    "start",
    "end",
    "aspect",
    "score",
    "low",
    "high",
    "weight",
    "note",
)
"""Columns of a table of scores over time."""

_SHORTEST_HOP = 1.0
_LONGEST_HOP = 30.0


@dataclass(frozen=True, eq=False)
class WindowedScores:
    """Scores of clips, and of the windows that they are the means of.

    Parameters
    ----------
    scores : Scores
        One row per clip.
    over_time : DataFrame
        One row per window and aspect, with the columns `OVER_TIME_COLUMNS`: times in
        seconds from the start of the clip, the score and the ends of its interval, the
        share of the window in the score of the clip, and ``silent`` or ``out of range``
        where it is. A silent window of a clip that also sounds has no score.
    notes : tuple of str
        What a reader of the scores must know.
    """

    scores: Scores
    over_time: pd.DataFrame
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class DividedClips:
    """The windows of some clips.

    Parameters
    ----------
    clips : DataFrame of n rows
        With ``clip_id``.
    windows : tuple of n tuples of Window
        None of a clip that cannot be read.
    set_aside : tuple of SetAside
        The clips that cannot be read to their end.
    """

    clips: pd.DataFrame
    windows: tuple[tuple[Window, ...], ...]
    set_aside: tuple[SetAside, ...]

    @classmethod
    def of(
        cls,
        clips: pd.DataFrame,
        hop: float,
        on_progress: Progress | None = None,
    ) -> DividedClips:
        """Divide the clips of a table; of longer ones the audio is decoded."""
        windows: list[tuple[Window, ...]] = []
        set_aside = []
        for row, audio in enumerate(clips["audio"]):
            name = audio if isinstance(audio, str) else ""
            try:
                windows.append(windows_of(name, hop))
            except ClipError as error:
                windows.append(())
                set_aside.append(SetAside.of(clips["clip_id"].iloc[row], error))
            if on_progress is not None:
                on_progress(DIVIDING, row + 1, len(clips))
        return cls(clips, tuple(windows), set_aside=tuple(set_aside))

    def table(self) -> pd.DataFrame:
        """The windows as a clip table, in the order of the clips and of time.

        Ids are numbers of rows and of windows, which no other window can have.
        """
        rows = []
        ids = []
        audio = []
        for row, windows in enumerate(self.windows):
            for place, window in enumerate(windows):
                rows.append(row)
                ids.append(_window_id(row, place))
                audio.append(window.audio)
        table = self.clips.iloc[rows].reset_index(drop=True)
        return table.assign(clip_id=ids, audio=audio)


def _window_id(row: int, place: int) -> str:
    return f"{row}:{place}"


def check_can_be_divided(stack: StackedMOS) -> None:
    """Refuse a stack that cannot score parts of a clip.

    Raises
    ------
    UsageError
        When it has no base models, or predictions in the place of one: these are of
        whole clips.
    """
    own = {name for name, _ in stack.estimators_}
    stored = [table.model for table in stored_tables(stack)]
    absent = [name for name in stack.final_estimator_.layout_.models if name not in own]
    without_weights = stored + absent
    if without_weights:
        raise UsageError(
            f"Windows need base models that read audio, and of "
            f"{some(without_weights)} the stack has predictions alone, which are of "
            "whole clips. Score with --windows first, or predict each window with "
            "those models and score the windows as clips (columns start_time and "
            "end_time of a table)."
        )


def score_windows(
    stack: StackedMOS,
    clips: pd.DataFrame,
    score: Callable[[pd.DataFrame], Scores],
    hop: float = HOP_SECONDS,
    on_progress: Progress | None = None,
) -> WindowedScores:
    """Score a clip table by windows over its longer clips.

    Parameters
    ----------
    stack : StackedMOS
        Fitted, of base models over encoders.
    clips : DataFrame
        As `ensemble.scoring.score_clips.score_clips` takes it.
    score : callable
        Scores a clip table with the stack, such as
        ``lambda table: score_clips(stack, table, store)``.
    hop : float
        From the start of a window to that of the next, 1 to 30 seconds.
    on_progress : callable, optional
        Called as ``on_progress("windows", done, total)`` while clips are divided.

    Returns
    -------
    scored : WindowedScores
        A clip of one window has the scores that `score` gives it. A longer clip is set
        aside when it cannot be read to its end.

    Raises
    ------
    UsageError
        When the stack has no weights of a base model, or the hop is too long or short.
    """
    if not _SHORTEST_HOP <= hop <= _LONGEST_HOP:
        raise UsageError(
            f"Windows start every {_SHORTEST_HOP:g} to {_LONGEST_HOP:g} s; got {hop!r}."
        )
    # Before hours of decoding.
    check_can_be_divided(stack)
    clips = clips.assign(clip_id=clip_ids(clips, may_repeat=True))
    first, repeats = without_repeats(clips)
    divided = DividedClips.of(first, hop, on_progress)
    by_window = score(divided.table())
    pooled = _Pool(divided, by_window).pooled()
    # Those of the scorer are of windows.
    needed = needed_bandwidth(clip_models(stack))
    audio_notes = tuple(flag_notes(pooled.scores.usable, needed))
    scores = replace(pooled.scores, audio_notes=audio_notes)
    return replace(pooled, scores=among(scores, kept_columns(clips), repeats))


class _Pool:
    """From scores of windows to those of clips.

    Parameters
    ----------
    divided : DividedClips
    by_window : Scores
        Of `DividedClips.table`.
    """

    def __init__(self, divided: DividedClips, by_window: Scores):
        self.divided = divided
        self.by_window = by_window
        self.windows = by_window.usable
        self.place_of = {
            window: place for place, window in enumerate(self.windows["clip_id"])
        }
        # Rows of clips of which every window has a score.
        self.rows: list[int] = []
        self.set_aside: list[SetAside] = []
        self._find_scored()

    def _find_scored(self) -> None:
        refused = {clip.clip_id: clip for clip in self.by_window.set_aside}
        unreadable = {clip.clip_id: clip for clip in self.divided.set_aside}
        ids = self.divided.clips["clip_id"].tolist()
        for row, windows in enumerate(self.divided.windows):
            if not windows:
                self.set_aside.append(unreadable[ids[row]])
                continue
            # A mean over the rest would be of another clip.
            lacking = [
                place
                for place in range(len(windows))
                if _window_id(row, place) not in self.place_of
            ]
            if not lacking:
                self.rows.append(row)
                continue
            window = refused[_window_id(row, lacking[0])]
            self.set_aside.append(replace(window, clip_id=ids[row]))

    def pooled(self) -> WindowedScores:
        """The scores of the clips, and of their windows over time."""
        check = self._check()
        is_marked = np.zeros(len(self.rows), dtype=bool)
        if check is not None:
            is_marked = check.out_of_range
        scores = replace(
            self.by_window,
            frame=self._frame(is_marked),
            set_aside=tuple(self.set_aside),
            distributions=self._distributions(),
            check=check,
        )
        return WindowedScores(scores, self._over_time(), self._notes())

    def _places(self, row: int) -> list[int]:
        """Rows of the windows of a clip in the table of scores of windows."""
        n_windows = len(self.divided.windows[row])
        return [self.place_of[_window_id(row, place)] for place in range(n_windows)]

    def _weights(self, row: int) -> np.ndarray:
        return np.array([window.weight for window in self.divided.windows[row]])

    def _check(self) -> RangeCheck | None:
        """How far each clip lies out of range: half of it lies at least as far.

        So a clip is marked where windows of at least half of its length are.
        """
        check = self.by_window.check
        if check is None or not self.rows:
            return None
        medians = []
        for row in self.rows:
            distances = check.distances[self._places(row)]
            # The weighted median, from the farthest window on; 1e-9 for sums of shares
            # that are a half but for rounding.
            order = np.argsort(-distances)
            reached = np.cumsum(self._weights(row)[order]) >= 0.5 - 1e-9
            medians.append(distances[order[int(reached.argmax())]])
        return RangeCheck(np.array(medians), check.reference)

    def _frame(self, is_marked: np.ndarray) -> pd.DataFrame:
        windows = self.windows
        legal = {f"{name}_sd" for name in self.by_window.aspects}
        legal.update(score_columns(self.by_window.aspects))
        # Other columns are facts of a window, of which there is no mean.
        numbers = [name for name in windows.columns if name in legal]
        pooled = []
        for place, row in enumerate(self.rows):
            of_clip = windows.iloc[self._places(row)]
            values = of_clip[numbers].to_numpy(dtype=np.float64)
            # A clip of one window keeps its numbers to the last digit.
            if len(values) == 1:
                pooled.append(values[0])
                continue
            weights = self._weights(row)
            means = pd.Series(weights @ values, index=numbers)
            if is_marked[place]:
                self._widen(means, of_clip, weights)
            pooled.append(means.to_numpy())

        # What else is known of a clip is known of its first window, which has its name.
        first = [self._places(row)[0] for row in self.rows]
        frame = windows.iloc[first].reset_index(drop=True)
        frame["clip_id"] = self.divided.clips["clip_id"].iloc[self.rows].to_numpy()
        frame[numbers] = np.reshape(pooled, (len(pooled), len(numbers)))
        if OUT_OF_RANGE in windows:
            frame[OUT_OF_RANGE] = is_marked
        self._describe_audio(frame, is_marked)
        return frame

    def _describe_audio(self, frame: pd.DataFrame, is_marked: np.ndarray) -> None:
        """Fill in what the clips sound like, by what their windows do."""
        if not self.rows:
            return
        flags = self.windows[FLAGS]
        bandwidths = self.windows[BANDWIDTH_HZ]
        places = [self._places(row) for row in self.rows]
        of_windows = [flags_of_whole(flags.iloc[own].tolist()) for own in places]
        # A mark is of the whole, and not of any of its windows.
        unmarked = [flags.replace(OUT_OF_RANGE, "") for flags in of_windows]
        frame[FLAGS] = with_flag(unmarked, OUT_OF_RANGE, is_marked)
        # The clip reaches as high as any part of it does.
        highest = [bandwidths.iloc[own].max() for own in places]
        frame[BANDWIDTH_HZ] = pd.array(highest, dtype="Int64")
        for place, row in enumerate(self.rows):
            windows = self.divided.windows[row]
            if len(windows) > 1:
                frame.loc[place, SECONDS] = round(windows[-1].end, 3)

    def _widen(
        self, means: pd.Series, of_clip: pd.DataFrame, weights: np.ndarray
    ) -> None:
        """Give a marked clip an interval as wide as those of its marked windows."""
        # The others say how sure scores of usual clips are.
        shares = weights * of_clip[OUT_OF_RANGE].to_numpy()
        shares = shares / shares.sum()
        for aspect in self.by_window.aspects:
            scale = self.by_window.scales.get(aspect, Scale(1, 5))
            scores = of_clip[aspect].to_numpy()
            below = shares @ (scores - of_clip[f"{aspect}_low"].to_numpy())
            above = shares @ (of_clip[f"{aspect}_high"].to_numpy() - scores)
            means[f"{aspect}_low"] = max(means[aspect] - below, scale.low)
            means[f"{aspect}_high"] = min(means[aspect] + above, scale.high)

    def _distributions(self) -> Distributions | None:
        """Of each model the mean of what it makes of the windows of a clip."""
        by_window = self.by_window.distributions
        if by_window is None:
            return None
        groups = dict(list(by_window.frame.groupby("clip_id", sort=False)))
        # Behind clip_id and model all columns are numbers.
        numbers = by_window.frame.columns[2:]
        parts = []
        for row in self.rows:
            windows = self.divided.windows[row]
            frames = [groups[_window_id(row, place)] for place in range(len(windows))]
            # All windows have the same models, in the same order.
            pooled = frames[0].reset_index(drop=True)
            if len(windows) > 1:
                values = np.stack([frame[numbers].to_numpy() for frame in frames])
                means = np.tensordot(self._weights(row), values, axes=1)
                pooled[numbers] = means
            pooled["clip_id"] = self.divided.clips["clip_id"].iloc[row]
            parts.append(pooled)
        empty = by_window.frame.iloc[:0]
        pooled_frame = pd.concat(parts, ignore_index=True) if parts else empty
        return replace(by_window, frame=pooled_frame)

    def _over_time(self) -> pd.DataFrame:
        windows = self.windows
        has_marks = OUT_OF_RANGE in windows
        records = []
        for row in self.rows:
            clip = self.divided.clips["clip_id"].iloc[row]
            places = self._places(row)
            for window, place in zip(self.divided.windows[row], places, strict=True):
                scored = windows.iloc[place]
                is_marked = bool(has_marks and scored[OUT_OF_RANGE])
                records += self._records(clip, window, scored, is_marked=is_marked)
        return pd.DataFrame(records, columns=list(OVER_TIME_COLUMNS))

    def _records(
        self,
        clip: str,
        window: Window,
        scored: pd.Series,
        is_marked: bool,
    ) -> list[tuple[object, ...]]:
        """Rows of a window, one for each aspect, see `WindowedScores.over_time`."""
        note = "silent" if window.is_silent else "out of range" if is_marked else ""
        # A score of silence says nothing, but where there is nothing else.
        is_left_out = window.weight == 0
        records = []
        for aspect in self.by_window.aspects:
            names = (aspect, f"{aspect}_low", f"{aspect}_high")
            values = [np.nan if is_left_out else scored[name] for name in names]
            place = (clip, window.start, window.end, aspect)
            records.append((*place, *values, window.weight, note))
        return records

    def _notes(self) -> tuple[str, ...]:
        n_clips = len(self.divided.windows)
        longer = [windows for windows in self.divided.windows if len(windows) > 1]
        notes = []
        if longer:
            verb = "is" if len(longer) == 1 else "are"
            subject = f"{len(longer)} of {n_clips} clips {verb}"
            if n_clips == 1:
                subject = "the clip is"
            notes.append(
                f"{subject} longer than {USED_SECONDS:g} s and scored by "
                f"{sum(map(len, longer))} windows of that length; a score is the mean "
                "over time, and its interval the mean of theirs, since windows of a "
                "clip err alike"
            )
        silent = [
            clip
            for clip, windows in zip(
                self.divided.clips["clip_id"], self.divided.windows, strict=True
            )
            if any(window.is_silent and window.weight == 0 for window in windows)
        ]
        if silent:
            notes.append(
                f"silent windows (below {SILENCE_DBFS:g} dBFS) are left out of the "
                f"score of {some(silent)}"
            )
        return tuple(notes)
