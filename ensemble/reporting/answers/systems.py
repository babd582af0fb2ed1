"""Which system is best: a ranking of systems, and their differences in pairs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import partial

import pandas as pd

from ensemble.reporting.answers.answer_content import AnswerContent
from ensemble.reporting.answers.ranking_chart import both_ends, draw_ranking
from ensemble.reporting.answers.terms import HOLM, INTERVAL, P_VALUE
from ensemble.reporting.answers.words import as_sentence, figure
from ensemble.reporting.number_text import p_cell
from ensemble.reporting.section import (
    DECIDE,
    Drawing,
    Paragraph,
    Section,
    TextTable,
)
from meta.comparison.systems.system_comparison import SystemComparison

MOST_DIFFERENCES = 60
"""Pairs that a page lists; of more systems only those beside each other in the rank."""
MOST_SENTENCES = 5
"""Differences that are said in sentences, too."""


def systems_sections(content: AnswerContent) -> Iterator[Section]:
    """Per aspect a ranking with intervals, and what differs from what."""
    if content.comparison is None:
        return
    for aspect in content.aspects:
        systems = content.comparison.systems
        of_aspect = systems[systems["aspect"] == aspect]
        if of_aspect.empty:
            continue
        yield _ranking(content, aspect, of_aspect)
        differences = content.comparison.differences
        of_aspect = differences[differences["aspect"] == aspect]
        if not of_aspect.empty:
            yield _differences(content.comparison, aspect, of_aspect)


def _ranking(content: AnswerContent, aspect: str, systems: pd.DataFrame) -> Section:
    comparison = content.comparison
    assert comparison is not None
    ranked = systems.sort_values("rank", kind="stable")
    level = _percent(comparison.interval_level)
    text = (
        f"The mean score of each system with its {level} interval, the best first. Two "
        "systems whose ranks overlap may be the other way round."
    )
    titles = ["rank", "system", f"mean [{level}]", f"rank [{level}]", "clips"]
    has_ratings = bool((ranked["n_rated"] > 0).any())
    if has_ratings:
        titles.append("of them rated by people")

    rows = []
    for system in ranked.to_dict("records"):
        row = [
            str(int(system["rank"])) if math.isfinite(system["rank"]) else "-",
            str(system["system_id"]),
            figure(system["mean"], system["low"], system["high"]),
            _ranks(system["rank_low"], system["rank_high"]),
            str(int(system["n_clips"])),
        ]
        if has_ratings:
            row.append(str(int(system["n_rated"])))
        rows.append(row)

    charted = both_ends(ranked)
    drawing = Drawing(
        title=f"{aspect}: the further right, the better",
        draw=partial(draw_ranking, systems=charted),
        words=f"Means of the systems for {aspect}, as in the table.",
        lines=len(charted),
    )
    table = TextTable.plain(titles, rows)
    # What is said of another aspect stands beside that.
    others = set(comparison.systems["aspect"]) - {aspect}
    notes = [
        Paragraph(as_sentence(note), kind="small")
        for note in comparison.notes
        if not note.startswith(tuple(f"In {name}, " for name in others))
    ]
    return Section(
        title=f"Systems by {aspect}",
        paragraphs=(Paragraph(text), *notes),
        drawings=(drawing,),
        tables=(table,),
        reader=DECIDE,
        terms=(INTERVAL,),
    )


def _differences(
    comparison: SystemComparison, aspect: str, differences: pd.DataFrame
) -> Section:
    level = _percent(comparison.interval_level)
    listed = differences.sort_values("p", kind="stable")
    text = (
        "What the second system has more than the first, in points of the scale; the "
        "clearest difference comes first."
    )
    if len(differences) > MOST_DIFFERENCES:
        listed = _beside_each_other(comparison.systems, aspect, differences)
        text = (
            "What the second system has more than the first, in points of the scale; "
            f"of {len(differences)} pairs those that stand beside each other in the "
            "ranking."
        )
    is_shown = listed["p_holm"] <= 1 - comparison.interval_level
    said = [as_sentence(words) for words in listed["said"][is_shown]]
    is_preferred_known = listed["preferred"].notna().any()
    titles = ["first", "second", f"difference [{level}]"]
    if is_preferred_known:
        titles.append(f"second preferred [{level}]")
    titles += ["p", "p, Holm", "shown", "more clips of each to show it"]
    rows = []
    for pair, shown in zip(listed.to_dict("records"), is_shown, strict=True):
        row = [
            str(pair["a"]),
            str(pair["b"]),
            figure(pair["difference"], pair["low"], pair["high"]),
        ]
        if is_preferred_known:
            row.append(_preferred(pair))
        better = pair["b"] if pair["difference"] > 0 else pair["a"]
        row += [
            p_cell(pair["p"]),
            p_cell(pair["p_holm"]),
            f"{better} is better" if shown else "not shown",
            "" if shown else _clips_needed(pair["clips_needed"]),
        ]
        rows.append(row)
    return Section(
        title=f"Differences between systems: {aspect}",
        paragraphs=(Paragraph(text),),
        points=tuple(said[:MOST_SENTENCES]),
        tables=(TextTable.plain(titles, rows),),
        reader=DECIDE,
        terms=(P_VALUE, HOLM),
    )


def _clips_needed(number: float) -> str:
    """How many more clips would show a difference of the size seen."""
    if not math.isfinite(number):
        return "no number; ratings may"
    return f"about {number:,.0f}"


def _beside_each_other(
    systems: pd.DataFrame, aspect: str, differences: pd.DataFrame
) -> pd.DataFrame:
    """The differences of systems that follow each other in the ranking, best first."""
    of_aspect = systems[systems["aspect"] == aspect].sort_values("rank", kind="stable")
    names = of_aspect["system_id"].tolist()
    place = {frozenset(pair): k for k, pair in enumerate(itertools.pairwise(names))}
    pairs = [
        place.get(frozenset(pair), len(names))
        for pair in zip(differences["a"], differences["b"], strict=True)
    ]
    kept = differences.assign(_place=pairs)
    kept = kept[kept["_place"] < len(names)].sort_values("_place", kind="stable")
    return kept.drop(columns="_place")


def _preferred(pair: dict[str, float]) -> str:
    """Share of prompts, in percent, for which the second system's clip is preferred."""
    if not math.isfinite(pair["preferred"]):
        return "-"
    text = f"{100 * pair['preferred']:.0f} %"
    if not math.isfinite(pair["preferred_low"]):
        return text
    low = 100 * pair["preferred_low"]
    high = 100 * pair["preferred_high"]
    return f"{text} [{low:.0f}, {high:.0f}]"


def _ranks(low: float, high: float) -> str:
    if not (math.isfinite(low) and math.isfinite(high)):
        return "-"
    return f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"


def _percent(level: float) -> str:
    return f"{100 * level:g} %"
