"""The summary of scores in plain words, each sentence only where it is so."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pandas as pd

from ensemble.reporting.answers.answer_content import AnswerContent
from ensemble.reporting.answers.terms import aspect_terms
from ensemble.reporting.answers.words import as_sentence, counted, figure, named, share
from ensemble.reporting.section import SUMMARY, Paragraph, Section

FEW_CLIPS = 10
"""With fewer clips, the mean of a system hangs on each of them."""
MANY_OUT_OF_RANGE = 0.2
"""Share of clips unlike those learnt from, above which means of systems suffer too."""
MOSTLY = 0.5
"""Share of such clips above which that is said before anything is answered."""
UNFAMILIAR_LEAD = "Not to be relied on."
UNFAMILIAR = (
    f"{UNFAMILIAR_LEAD} Most of these clips are unlike those that the stack learnt "
    "from: what follows may be wrong altogether. Have some of the clips rated, and let "
    "the stack learn from them (fit_meta --adapt)."
)
NOTHING_HEARD = ("silent", "silent_channel", "unreadable")
"""Flags of clips whose scores are about nothing."""


def summary_sections(content: AnswerContent) -> Iterator[Section]:
    """What was scored, what follows, how sure it is, and what does not follow."""
    verdict = verdict_sentences(content)
    paragraphs = [_paragraph("What was measured.", measured_sentences(content))]
    if content.out_of_range.sum() > MOSTLY * len(content):
        paragraphs.append(Paragraph(UNFAMILIAR, lead=UNFAMILIAR_LEAD, kind="warning"))
    if verdict:
        paragraphs.append(_paragraph("The answer.", verdict, kind="verdict"))
    paragraphs.append(_paragraph("How sure.", certainty_sentences(content)))
    limits = limit_sentences(content)
    if limits:
        paragraphs.append(Paragraph(LIMITS_LEAD, lead=LIMITS_LEAD))
    yield Section(
        title="In short",
        paragraphs=tuple(paragraph for paragraph in paragraphs if paragraph.text),
        points=tuple(limits),
        reader=SUMMARY,
        terms=aspect_terms(content.aspects),
    )


LIMITS_LEAD = "What must not be concluded."
"""What stands above the list of limits."""


def _paragraph(lead: str, sentences: list[str], kind: str = "") -> Paragraph:
    if not sentences:
        return Paragraph("")
    return Paragraph(f"{lead} {' '.join(sentences)}", lead=lead, kind=kind)


# ---- what was measured


def measured_sentences(content: AnswerContent) -> list[str]:
    """How many clips of what, scored by whom, and on which scale."""
    if not len(content):
        return ["No clip could be scored."]
    counts = [counted(len(content), "clip")]
    if content.systems:
        counts.append(f"of {counted(len(content.systems), 'system')}")
    if len(content.prompts) > 1:
        counts.append(f"for {counted(len(content.prompts), 'prompt')}")

    background = content.background
    what = named(content.aspects)
    if background.is_rated:
        sentences = [f"{' '.join(counts)}, rated by people for {what}."]
    else:
        by = f" by a stack ({background.stack})" if background.stack else ""
        learnt = ""
        if background.learnt_from:
            clips = counted(background.learnt_from, "clip")
            learnt = f", fitted on {clips} with ratings"
        verb = "was" if len(content) == 1 else "were"
        sentences = [f"{' '.join(counts)} {verb} scored for {what}{by}{learnt}."]
    n_rated = _n_rated(content)
    if n_rated:
        sentences.append(f"People rated {share(n_rated, len(content))} clips.")
    sentences.append(_scales(content))
    return sentences


def _n_rated(content: AnswerContent) -> int:
    """How many clips have a rating that counts in the means of systems."""
    if content.comparison is None:
        return 0
    by_aspect = content.comparison.systems.groupby("aspect")["n_rated"].sum()
    return int(by_aspect.max())


def _scales(content: AnswerContent) -> str:
    """On which scales the scores are; one for all where it is the same."""
    scales = {aspect: content.scale(aspect) for aspect in content.aspects}
    if len(set(scales.values())) == 1:
        scale = next(iter(scales.values()))
        return f"Scores go from {scale.low:g} (worst) to {scale.high:g} (best)."
    parts = [f"{name} {s.low:g} to {s.high:g}" for name, s in scales.items()]
    return f"Scores go from worst to best: {', '.join(parts)}."


# ---- the answer


def verdict_sentences(content: AnswerContent) -> list[str]:
    """Which systems are first and last, per aspect; of two, which is better."""
    comparison = content.comparison
    if comparison is None:
        return [_of_all(content, aspect) for aspect in _scored_aspects(content)]
    sentences = []
    for aspect, systems in comparison.systems.groupby("aspect", sort=False):
        if len(systems) == 2:
            pairs = comparison.differences
            said = pairs.loc[pairs["aspect"] == aspect, "said"]
            sentences += [as_sentence(text) for text in said]
        elif len(systems) > 2:
            sentences.append(_first_and_last(str(aspect), systems))
    return sentences


def _scored_aspects(content: AnswerContent) -> list[str]:
    return [name for name in content.aspects if content.frame[name].notna().any()]


def _of_all(content: AnswerContent, aspect: str) -> str:
    scores = content.frame[aspect].dropna()
    if len(scores) == 1:
        clip = content.frame.loc[scores.index[0]]
        score = figure(
            scores.iloc[0],
            clip.get(f"{aspect}_low", float("nan")),
            clip.get(f"{aspect}_high", float("nan")),
        )
        return f"Its score for {aspect} is {score}."
    least = figure(scores.min())
    most = figure(scores.max())
    return (
        f"The mean score for {aspect} is {figure(scores.mean())}; single clips lie "
        f"between {least} and {most}."
    )


def _first_and_last(aspect: str, systems: pd.DataFrame) -> str:
    """Who is first, who may be as well, and who is last, of three systems or more."""
    ranked = systems.sort_values("rank", kind="stable")
    first = ranked.iloc[0]
    last = ranked.iloc[-1]
    # Where no rank has an interval, nothing is said of who else may be first.
    rivals = ranked["system_id"][ranked["rank_low"] <= 1].tolist()
    rivals = [name for name in rivals if name != first["system_id"]]
    if len(rivals) == len(ranked) - 1:
        return (
            f"Which system is best for {aspect} is not shown: {_with_mean(first)} has "
            "the highest mean, but each of the others may be as good or better; "
            f"{_with_mean(last)} has the lowest."
        )
    text = f"For {aspect}, {_with_mean(first)} comes first"
    if rivals:
        text += f", but {named(rivals)} may be as good or better"
    elif first["rank_high"] == 1:
        text += ", and no other system is as good"
    return f"{text}; {_with_mean(last)} comes last."


def _with_mean(system: pd.Series) -> str:
    mean = figure(system["mean"], system["low"], system["high"])
    return f"{system['system_id']} (mean {mean})"


# ---- how sure


def certainty_sentences(content: AnswerContent) -> list[str]:
    """How much of it chance could explain, for systems and for single clips."""
    sentences = []
    comparison = content.comparison
    if comparison is not None and len(comparison.differences):
        sentences += [
            _pairs_told_apart(str(aspect), pairs, comparison.interval_level)
            for aspect, pairs in comparison.differences.groupby("aspect", sort=False)
        ]
        level = f"{comparison.interval_level:.0%}".replace("%", " %")
        sentences.append(
            f"In brackets stands where the true mean lies with {level} certainty, if "
            "these clips are like those on which the uncertainty was learnt."
        )
    widths = []
    for aspect in _scored_aspects(content):
        half = content.half_width(aspect)
        if half == half:
            widths.append(f"± {half:.1f} points ({aspect})")
    if widths:
        level = f"{content.level:.0%}".replace("%", " %")
        sentences.append(
            f"The score of a single clip is far less sure than a mean: typically "
            f"{named(widths)}, with {level} certainty."
        )
    return sentences


def _pairs_told_apart(aspect: str, pairs: pd.DataFrame, level: float) -> str:
    n_shown = int((pairs["p_holm"] <= 1 - level).sum())
    if len(pairs) == 1:
        shown = "is" if n_shown else "is not"
        return f"For {aspect}, the difference {shown} larger than chance explains."
    if not n_shown:
        return (
            f"For {aspect}, no two of the systems differ by more than chance explains."
        )
    return (
        f"For {aspect}, {share(n_shown, len(pairs))} pairs of systems differ by more "
        "than chance explains, the number of pairs allowed for."
    )


# ---- what must not be concluded


def limit_sentences(content: AnswerContent) -> list[str]:
    """What does not follow from these scores, most serious first."""
    limits = [limit(content) for limit in LIMITS]
    return [text for text in (*limits, *content.background.notes) if text]


def _of_demo(content: AnswerContent) -> str:
    if not content.background.demo:
        return ""
    return (
        "Anything about real music: the stack learnt from synthetic music and "
        "simulated raters (demo corpus)."
    )


def _of_predictions(content: AnswerContent) -> str:
    if content.background.is_rated or not len(content):
        return ""
    if _n_rated(content) == len(content):
        return ""
    if _n_rated(content):
        return (
            "What listeners would say of clips that nobody rated, for certain: their "
            "scores are predictions."
        )
    return (
        "What listeners would say, for certain: these are predictions, in which no "
        "rating of these clips counts. Before a costly decision, have some rated."
    )


def _of_systems(content: AnswerContent) -> str:
    if len(content) < 2 or len(content.systems) > 1:
        return ""
    if content.systems:
        only = content.systems[0]
        return f"Which system is better: all clips are of one system, {only}."
    return "Which system is better: the clips do not say which system made them."


def _of_unshown(content: AnswerContent) -> str:
    comparison = content.comparison
    if comparison is None or not len(comparison.differences):
        return ""
    is_shown = comparison.differences["p_holm"] <= 1 - comparison.interval_level
    if is_shown.all():
        return ""
    return (
        "That systems are equally good where no difference is shown: there may be one "
        "that these clips and this stack cannot show."
    )


def _of_few_clips(content: AnswerContent) -> str:
    if len(content.systems) < 2:
        return ""
    clips = content.frame["system_id"].value_counts()
    few = clips[clips < FEW_CLIPS]
    few = few[few.index.isin(content.systems)]
    if few.empty:
        return ""
    fewest = counted(int(few.min()), "clip")
    return (
        f"Much about {named(few.index.tolist())}: with fewer than {FEW_CLIPS} clips "
        f"(the fewest: {fewest}), each clip moves the mean of its system."
    )


def _of_range(content: AnswerContent) -> str:
    n_marked = int(content.out_of_range.sum())
    if not n_marked:
        return ""
    clips = f"{share(n_marked, len(content))} clips are"
    if len(content) == 1:
        clips = "the clip is"
    text = (
        f"That scores are right for unfamiliar audio: {clips} unlike those that the "
        "stack learnt from (marked “out of range”)"
    )
    if n_marked > MANY_OUT_OF_RANGE * len(content) and len(content.systems) > 1:
        text += ", which is so many that the ranking of systems may be wrong, too"
    return f"{text}."


def _of_silence(content: AnswerContent) -> str:
    n_silent = sum(not set(flags).isdisjoint(NOTHING_HEARD) for flags in content.flags)
    if not n_silent:
        return ""
    verb = "has a score" if n_silent == 1 else "have scores"
    return (
        f"Anything from clips in which nothing is heard: {counted(n_silent, 'clip')} "
        f"{verb} all the same, listed under “Clips to look at”."
    )


def _of_unscored(content: AnswerContent) -> str:
    n_unscored = len(content.unscored)
    if not n_unscored:
        return ""
    n = len(content) + n_unscored
    verb = "has" if n_unscored == 1 else "have"
    return (
        f"Anything about clips that could not be scored: {share(n_unscored, n)} {verb} "
        "no score and no part in any mean, listed under “Clips to look at”."
    )


def _of_left_out(content: AnswerContent) -> str:
    if not content.left_out:
        return ""
    return (
        f"Anything about {named(content.left_out)}: it is judged against a prompt, and "
        "no clip has one."
    )


LIMITS: tuple[Callable[[AnswerContent], str], ...] = (
    _of_demo,
    _of_predictions,
    _of_systems,
    _of_unshown,
    _of_few_clips,
    _of_range,
    _of_silence,
    _of_unscored,
    _of_left_out,
)
"""What each looks for, and says where it finds it."""
