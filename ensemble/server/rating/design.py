"""What raters are asked of which clips, and on what scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from base_models.clips.columns import is_judged_by_text
from base_models.errors import UsageError, some
from base_models.scales import Scale

QUALITY_WORDS = ("Bad", "Poor", "Fair", "Good", "Excellent")
"""The five-point quality scale of Rec. ITU-T P.800, annex B; on 0 to 100 the words of
the continuous scale of Rec. ITU-R BS.1534, each of which labels a fifth."""

QUESTIONS = {
    "mi": "How good is the overall musical impression?",
    "ta": "How well does the music match the text?",
}
"""What is asked of the aspects of MusicEval and of the AudioMOS challenge."""

_MOST_BUTTONS = 11
"""A scale with more points is a slider."""

_FIVE_POINTS = Scale(1, 5)


@dataclass(frozen=True)
class AnswerScale:
    """The ratings that can be given, and the words that are shown with them.

    Parameters
    ----------
    ends : Scale
    step : float
        Distance of two ratings.
    labels : tuple of str
        From the worst to the best: one for each rating, or fewer that are spread evenly
        along a slider, or two for the ends; may be empty.

    Raises
    ------
    UsageError
        When the scale is not made of whole steps, or labels do not fit it.

    Examples
    --------
    >>> AnswerScale.of(Scale(1, 5)).labels[0], AnswerScale.of(Scale(1, 5)).points[-1]
    ('Bad', 5.0)
    >>> AnswerScale.of(Scale(0, 100)).is_slider
    True
    """

    ends: Scale
    step: float
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        n_steps = self.ends.width / self.step if self.step > 0 else math.nan
        # Decimal steps, such as 0.1, are not exact in binary.
        is_whole = math.isfinite(n_steps) and abs(n_steps - round(n_steps)) < 1e-6
        if not is_whole or n_steps > 1e4:
            raise UsageError(
                f"A step of {self.step:g} does not divide the scale {self.ends}; name "
                "one that does (--scale-step 1)."
            )
        legal = {0, 2} if not self.is_slider else set(range(8))
        if not self.is_slider:
            legal.add(self.n_points)
        if len(self.labels) not in legal:
            raise UsageError(
                f"{len(self.labels)} labels for the scale {self.ends}, which has "
                f"{self.n_points} ratings; name one for each, or two for its ends "
                "(--scale-labels Bad Excellent)."
            )

    @classmethod
    def of(
        cls, ends: Scale, step: float = 1.0, labels: Sequence[str] | None = None
    ) -> AnswerScale:
        """A scale with the usual words, unless others are given."""
        plain = cls(ends, step, ())
        if labels is not None:
            return cls(ends, step, tuple(labels))
        has_five_words = plain.is_slider or plain.n_points == len(QUALITY_WORDS)
        words = (
            QUALITY_WORDS if has_five_words else (QUALITY_WORDS[0], QUALITY_WORDS[-1])
        )
        return cls(ends, step, words)

    @property
    def n_points(self) -> int:
        """How many different ratings there are."""
        return round(self.ends.width / self.step) + 1

    @property
    def is_slider(self) -> bool:
        """Whether there are too many ratings for a button each."""
        return self.n_points > _MOST_BUTTONS

    @property
    def points(self) -> tuple[float, ...]:
        """All ratings, from the worst to the best."""
        steps = range(self.n_points)
        return tuple(round(self.ends.low + self.step * n, 9) for n in steps)

    @property
    def buttons(self) -> list[tuple[str, str]]:
        """Text of each rating and its label, "" where it has none."""
        labels = [""] * self.n_points
        if len(self.labels) == self.n_points:
            labels = list(self.labels)
        elif self.labels:
            labels[0] = self.labels[0]
            labels[-1] = self.labels[-1]
        texts = [f"{value:g}" for value in self.points]
        return list(zip(texts, labels, strict=True))

    @property
    def keys(self) -> str:
        """Which keys give which rating, in words; "" where none does.

        >>> AnswerScale.of(Scale(1, 5)).keys, AnswerScale.of(Scale(1, 10)).keys
        ('1 to 5', '1 to 9, 0 for 10')
        """
        texts = [text for text, _ in self.buttons]
        digits = [text for text in texts if len(text) == 1]
        if self.is_slider or not digits:
            return ""
        has_ten = "10" in texts and "0" not in texts
        return f"{digits[0]} to {digits[-1]}{', 0 for 10' if has_ten else ''}"

    def refusal(self, value: float) -> str:
        """Why a number is no rating on this scale; "" where it is one."""
        steps = (value - self.ends.low) / self.step
        is_on = self.ends.low <= value <= self.ends.high
        if is_on and abs(steps - round(steps)) < 1e-6:
            return ""
        return f"{value:g} is no rating on {self.ends} in steps of {self.step:g}"

    def in_name(self, aspect: str) -> str:
        """The name of a column of ratings, with the scale where it is not 1 to 5.

        >>> AnswerScale.of(Scale(0, 100)).in_name("mi")
        'mi (0-100)'
        """
        return aspect if self.ends == _FIVE_POINTS else f"{aspect} ({self.ends.option})"


@dataclass(frozen=True)
class RatedAspect:
    """One question that is asked of every clip.

    Parameters
    ----------
    name : str
        Of the column of ratings.
    question : str
        What raters read.
    by_text : bool
        Whether it is judged against the prompt; it is not asked of a clip without one.
    """

    name: str
    question: str
    by_text: bool

    @classmethod
    def of(cls, name: str, questions: Mapping[str, str]) -> RatedAspect:
        """An aspect with the question that is given, or else the usual one."""
        by_text = is_judged_by_text(name)
        asked = QUESTIONS["ta"] if by_text else f"How do you rate: {name}?"
        question = questions.get(name) or QUESTIONS.get(name, asked)
        return cls(name, question, by_text)


@dataclass(frozen=True)
class RatingDesign:
    """A listening test without its clips.

    Parameters
    ----------
    aspects : tuple of RatedAspect
    scale : AnswerScale
    listen_seconds : float
        How much of a clip must have been heard before it is rated; infinite: all of it.
    clips_per_rater : int or None
        None: every rater rates all clips.
    seed : int
        Of the order of the clips.
    instructions : str
        What raters read at the start; paragraphs are separated by empty lines.

    Raises
    ------
    UsageError
        When an aspect stands there twice or there is none, or a number is not positive.
    """

    aspects: tuple[RatedAspect, ...]
    scale: AnswerScale
    listen_seconds: float = math.inf
    clips_per_rater: int | None = None
    seed: int = 0
    instructions: str = ""

    def __post_init__(self) -> None:
        names = [aspect.name for aspect in self.aspects]
        if not names or len(set(names)) < len(names):
            raise UsageError(
                f"Name each aspect once (--aspects mi ta); got {some(names) or 'none'}."
            )
        if not self.listen_seconds >= 0:
            raise UsageError(
                f"--listen is a number of seconds, or all; got {self.listen_seconds:g}."
            )
        if self.clips_per_rater is not None and self.clips_per_rater < 1:
            raise UsageError(
                "A rater rates one clip or more (--clips-per-rater); got "
                f"{self.clips_per_rater}."
            )

    def asked_of(self, prompt: str) -> tuple[RatedAspect, ...]:
        """The aspects that are asked of a clip with this prompt."""
        return tuple(each for each in self.aspects if prompt or not each.by_text)

    def to_json(self) -> dict[str, Any]:
        """What ratings mean; two tests may share a file only where this is equal."""
        return {
            "aspects": [each.name for each in self.aspects],
            "questions": [each.question for each in self.aspects],
            "scale": self.scale.ends.to_json(),
            "step": self.scale.step,
            "labels": list(self.scale.labels),
        }


@dataclass(frozen=True)
class RatedClip:
    """A clip that is rated.

    Parameters
    ----------
    clip_id, system_id, prompt : str
        The latter two "" where there is none.
    audio : str
        File, or part of one, as `base_models.clips.audio.load_audio` reads.
    sha256 : str
        Of its content, see `base_models.clips.audio.AudioInfo`.
    seconds : float
        Its length.
    """

    clip_id: str
    system_id: str
    prompt: str
    audio: str
    sha256: str
    seconds: float

    def needed_seconds(self, design: RatingDesign) -> float:
        """How much of it must have been heard before it is rated."""
        return min(design.listen_seconds, self.seconds)
