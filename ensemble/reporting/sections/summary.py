"""The summary of a stack's report in plain words, each sentence only where it is so."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ensemble.reporting.answers.summary import LIMITS_LEAD
from ensemble.reporting.answers.words import counted, figure, named
from ensemble.reporting.section import (
    SUMMARY,
    Paragraph,
    Record,
    ReportContent,
    Section,
)
from ensemble.reporting.sections.leak_audit import unlisted_sentence
from ensemble.reporting.sections.notices import NO_REAL_MUSIC
from meta.comparison.compared_rows import CONSTANT, NOT_BASES, STACK
from meta.comparison.held_out_trial import TRAINING, VALIDATION
from meta.comparison.verdict_text import BEST, CLIP_ERROR, MEAN, SYSTEM_RANKS
from meta.comparison.verdict_text import CONSTANT as CONSTANT_RIVAL

FEW_SYSTEMS = 8
"""With fewer systems, how well they are ranked is mostly luck."""
RIVAL_WORDS = {
    BEST: "those of its best model alone",
    MEAN: "the plain mean of its models",
    CONSTANT_RIVAL: "the mean rating for every clip",
}
"""The rivals of a stack, in words for anyone."""
ORDER_WORDS = (
    (0.9, "almost as listeners do"),
    (0.7, "at least largely as listeners do"),
    (0.4, "at least roughly as listeners do"),
    (0.0, "better than chance would"),
)
"""What a rank correlation means whose interval begins at least there."""


def summary_sections(content: ReportContent) -> Iterator[Section]:
    """What was measured on what, the verdict, how sure it is, and its limits."""
    parts = {
        "What was measured.": measured_sentences(content.values),
        "The verdict.": verdict_sentences(content.values),
        "How near.": nearness_sentences(content.values),
        "How sure.": certainty_sentences(content.values),
    }
    paragraphs = []
    for lead, sentences in parts.items():
        if sentences:
            kind = "verdict" if lead == "The verdict." else ""
            text = f"{lead} {' '.join(sentences)}"
            paragraphs.append(Paragraph(text, lead=lead, kind=kind))
    limits = limit_sentences(content.values)
    if limits:
        paragraphs.append(Paragraph(LIMITS_LEAD, lead=LIMITS_LEAD))
    yield Section(
        title="In short",
        paragraphs=tuple(paragraphs),
        points=tuple(limits),
        reader=SUMMARY,
    )


# ---- what was measured


def measured_sentences(values: Mapping[str, Any]) -> list[str]:
    """Which stack, of how many models, was judged on how many clips rated by whom."""
    board = values["leaderboards"].get(values["verdict"]["rows"], [])
    n_clips = most(board, "utterance")
    n_systems = most(board, "system")
    if not n_clips:
        return []
    n_models = len({record["model"] for record in board} - set(NOT_BASES))
    judged = counted(n_clips, "clip")
    if n_systems > 1:
        judged += f" of {counted(n_systems, 'system')}"
    raters = _raters(values)
    text = (
        f"A stack, which combines the predictions of {counted(n_models, 'model')}, was "
        f"compared with people's ratings of {named(values['aspects'])} for {judged}"
    )
    text += f", {raters}." if raters else "."
    fitted = values["audit"].get("counts", {}).get(STACK, {})
    n_fitted = fitted.get(TRAINING, 0)
    is_held_out = _is_held_out(values)
    if not is_held_out:
        n_fitted += fitted.get(VALIDATION, 0)
    if n_fitted and not values["leaks"]:
        text += f" It had learnt from {counted(n_fitted, 'other clip')}."
    return [text]


def most(board: Sequence[Record], level: str) -> int:
    """The largest number of clips or systems in a leaderboard, 0 in an empty one."""
    return max((record["n"] for record in board if record["level"] == level), default=0)


def _raters(values: Mapping[str, Any]) -> str:
    """How many people rated a clip, where single ratings are known."""
    for records in values["noise_ceiling"].values():
        raters = [record["raters"] for record in records if record.get("raters")]
        if raters:
            n_raters = round(min(raters))
            people = "one person" if n_raters == 1 else f"{n_raters} people"
            return f"each rated by about {people}"
    return ""


def _is_held_out(values: Mapping[str, Any]) -> bool:
    """Whether the verdict is about clips held out of the fit, not a test split."""
    return bool(values["verdict"]["rows"].endswith(VALIDATION))


# ---- the verdict


def verdict_sentences(values: Mapping[str, Any]) -> list[str]:
    """Which rivals the stack is shown to beat; aspects with one answer share it."""
    if values["leaks"]:
        return [
            "None: the stack had seen these clips before, so its numbers say nothing "
            "of new ones."
        ]
    aspects_of: dict[str, list[str]] = {}
    for aspect in values["aspects"]:
        claim = _claim(_said(values, aspect, CLIP_ERROR))
        if claim:
            aspects_of.setdefault(claim, []).append(aspect)
    if not aspects_of:
        # Where nothing could be tested, the verdict says why.
        return [values["verdict"]["sentence"]]
    return [
        f"For {named(aspects)}, its scores are {claim}."
        for claim, aspects in aspects_of.items()
    ]


def _claim(said: Mapping[str, str]) -> str:
    """What the test shows of the stack against its rivals, and what it does not."""
    parts = []
    for word, nearer in (("better", "closer to"), ("worse", "farther from")):
        rivals = [RIVAL_WORDS[rival] for rival, what in said.items() if what == word]
        if rivals:
            parts.append(
                f"{nearer} people's ratings than {named(rivals)}, by more than chance "
                "explains"
            )
    unshown = [RIVAL_WORDS[rival] for rival, what in said.items() if not what]
    others = named(unshown, last="or")
    if unshown and parts:
        parts.append(f"that they are closer than {others} is not shown")
    elif unshown:
        parts.append(f"not shown to be closer to people's ratings than {others}")
    return "; ".join(parts)


def nearness_sentences(values: Mapping[str, Any]) -> list[str]:
    """How far scores lie from ratings, and how well systems are put in order."""
    if values["leaks"]:
        return []
    board = values["leaderboards"].get(values["verdict"]["rows"], [])
    sentences = []
    for aspect in values["aspects"]:
        error = metric_of(board, aspect, *CLIP_ERROR)
        if error is None:
            continue
        text = (
            f"For {aspect}, its scores are typically {math.sqrt(error):.2f} points "
            "from the ratings"
        )
        blind = metric_of(board, aspect, *CLIP_ERROR, model=CONSTANT)
        if blind is not None:
            text += f" (the mean rating for every clip: {math.sqrt(blind):.2f})"
        sentences.append(f"{text}{_order(board, aspect)}.")
    return sentences


def _order(board: Sequence[Record], aspect: str) -> str:
    """How well systems are put in order, where there are enough of them to say."""
    found = record_of(board, aspect, *SYSTEM_RANKS)
    n_systems = most(board, "system")
    if found is None or found["value"] is None or n_systems < FEW_SYSTEMS:
        return ""
    correlation = figure(
        found["value"],
        math.nan if found["low"] is None else found["low"],
        math.nan if found["high"] is None else found["high"],
    )
    if found["low"] is None:
        return (
            f"; the rank correlation of systems is {correlation}, where 1 is the same "
            "order"
        )
    # An interval that holds 0 holds the order of chance.
    if found["low"] <= 0:
        return (
            f"; {n_systems} systems are too few to show that it puts them in the order "
            f"of listeners (rank correlation {correlation}, where 1 is the same order)"
        )
    # What the lower end allows is what can be said: the number itself may be luck.
    words = next(words for least, words in ORDER_WORDS if found["low"] >= least)
    return (
        f", and it puts systems in order {words} (rank correlation {correlation}, "
        "where 1 is the same order)"
    )


def metric_of(
    board: Sequence[Record], aspect: str, level: str, metric: str, model: str = STACK
) -> float | None:
    """A number of a leaderboard; None where it is undefined or not there."""
    record = record_of(board, aspect, level, metric, model=model)
    return None if record is None else record["value"]


def record_of(
    board: Sequence[Record], aspect: str, level: str, metric: str, model: str = STACK
) -> Record | None:
    """The row of a leaderboard with a number and its interval, or None."""
    for record in board:
        place = (record["aspect"], record["level"], record["metric"], record["model"])
        if place == (aspect, level, metric, model):
            return record
    return None


def _said(
    values: Mapping[str, Any], aspect: str, cell: tuple[str, str]
) -> dict[str, str]:
    """Each rival that the verdict is about, and what is said of the stack beside it."""
    return {
        record["rival"]: record["said"]
        for record in values["verdict"]["comparisons"]
        if (record["aspect"], record["level"], record["metric"]) == (aspect, *cell)
        and record["p_holm"] is not None
        and record["rival"] in RIVAL_WORDS
    }


# ---- how sure


def certainty_sentences(values: Mapping[str, Any]) -> list[str]:
    """Whether the intervals of single scores hold as many ratings as they should."""
    nominal = values["interval_coverage"]["nominal"]
    held = []
    for by_aspect in values["calibration"].values():
        for aspect, tables in by_aspect.items():
            records = [r for r in tables["coverage"] if r["level"] == nominal]
            held += [_held(aspect, record) for record in records]
    if not held:
        return []
    return [
        f"Each score has an interval that should hold {100 * nominal:g} % of ratings; "
        f"{'; '.join(held)}."
    ]


def _held(aspect: str, record: Record) -> str:
    percent = f"{100 * record['share']:.0f} %"
    text = f"for {aspect} it held {percent} of {record['n']}"
    low = record.get("share_low")
    high = record.get("share_high")
    # Of few systems there are no bounds, and nothing is said.
    if low is None or high is None:
        return text
    if high < record["level"]:
        return f"{text}, which is too few: it is too narrow"
    if low > record["level"]:
        return f"{text}: it is wider than need be"
    return f"{text}, as it should"


# ---- what must not be concluded


def limit_sentences(values: Mapping[str, Any]) -> list[str]:
    """What does not follow from these numbers, most serious first."""
    return [text for limit in LIMITS for text in [limit(values)] if text]


def _of_leaks(values: Mapping[str, Any]) -> str:
    if not values["leaks"]:
        return ""
    return (
        "Anything about new clips: people's ratings of these clips were used before "
        "they judged the stack (see the leak audit)."
    )


def _of_demo(values: Mapping[str, Any]) -> str:
    if not values["demo"]:
        return ""
    return f"Anything about real music: this is the demo corpus, and {NO_REAL_MUSIC}."


def _of_systems(values: Mapping[str, Any]) -> str:
    board = values["leaderboards"].get(values["verdict"]["rows"], [])
    n_systems = most(board, "system")
    if not board:
        return ""
    if n_systems < 2:
        return (
            "Whether it can tell systems apart: the clips name one system, or none, so "
            "nothing is said of how systems rank."
        )
    if n_systems < FEW_SYSTEMS:
        return (
            f"How well it ranks systems: {n_systems} of them are too few to tell a "
            "good order from luck."
        )
    return ""


def _of_held_out(values: Mapping[str, Any]) -> str:
    if values["leaks"] or not _is_held_out(values):
        return ""
    return (
        "That it does as well in another listening test: it was judged on clips held "
        "out of the same one."
    )


def _of_other_clips(values: Mapping[str, Any]) -> str:
    if values["leaks"] or _is_held_out(values):
        return ""
    return (
        "That it does as well on clips of another kind: other systems, other music, "
        "other listeners."
    )


def _of_fitted(values: Mapping[str, Any]) -> str:
    if not values.get("fitted_rows"):
        return ""
    return (
        "How good it is from the table of clips that it was fitted on (marked †): "
        "there every stack looks good."
    )


def _of_unshown(values: Mapping[str, Any]) -> str:
    for aspect in values["aspects"]:
        if "" in _said(values, aspect, CLIP_ERROR).values():
            return (
                "That it is no better where no difference is shown: a small one would "
                "not be seen with so few clips and systems."
            )
    return ""


def _of_constant(values: Mapping[str, Any]) -> str:
    constant = values.get("constant_models", {}).get(values["verdict"]["rows"], {})
    models = list(dict.fromkeys(name for names in constant.values() for name in names))
    if not models:
        return ""
    verb = "says" if len(models) == 1 else "say"
    return (
        f"That all its models help: {named(models)} {verb} nearly the same of every "
        "clip."
    )


def _of_unlisted(values: Mapping[str, Any]) -> str:
    sentence = unlisted_sentence(values)
    if not sentence or values["leaks"]:
        return ""
    return (
        f"That its models had never seen these clips: {sentence}. If these were among "
        "them, the numbers are too good."
    )


LIMITS: tuple[Callable[[Mapping[str, Any]], str], ...] = (
    _of_leaks,
    _of_demo,
    _of_systems,
    _of_held_out,
    _of_other_clips,
    _of_unlisted,
    _of_unshown,
    _of_constant,
    _of_fitted,
)
"""What each looks for, and says where it finds it."""
