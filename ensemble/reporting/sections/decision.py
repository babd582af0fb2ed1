"""For who decides: the systems and clips on which a stack was judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd

from ensemble.reporting.answers.answer_content import AnswerContent
from ensemble.reporting.answers.clips import clips_sections
from ensemble.reporting.answers.ranking_chart import both_ends, draw_judged
from ensemble.reporting.answers.terms import SYSTEM, aspect_terms
from ensemble.reporting.answers.words import counted, rows_words
from ensemble.reporting.section import (
    DECIDE,
    Drawing,
    Paragraph,
    Record,
    ReportContent,
    Section,
    TextTable,
)
from meta.assessment import INTERVAL_LEVEL, LEAKY, Assessment

TITLES = (
    "rank",
    "system",
    "predicted mean",
    "people's mean",
    "difference",
    "rank by people",
    "clips",
)
MOST_NAMED = 2
"""Systems that a line of the terminal names at either end of the ranking."""


def decision_sections(content: ReportContent) -> Iterator[Section]:
    """Per aspect the ranking of systems; then best and worst clips to listen to."""
    # Reports of earlier versions have no systems.
    rankings = []
    lines = []
    for rows_name, records in content.values.get("systems", {}).items():
        for aspect in content.values["aspects"]:
            of_aspect = [record for record in records if record["aspect"] == aspect]
            if len(of_aspect) > 1:
                rankings.append(_ranking(rows_name, aspect, of_aspect))
                lines.append(_line(aspect, of_aspect))
    # The terminal says sections in the opposite order, and these lines belong together.
    if rankings:
        yield replace(rankings[0], closing_lines=tuple(lines))
        yield from rankings[1:]
    if content.judged is not None:
        # Rankings are marked by the name of their rows; clips have no such name.
        mark = f"{LEAKY} " if content.values["leaks"] else ""
        for section in clips_sections(content.judged):
            yield replace(section, title=f"{mark}{section.title}")


def judged_clips(
    assessment: Assessment, audio: Mapping[str, str]
) -> AnswerContent | None:
    """The clips of the verdict, with scores, ratings and intervals where there are any.

    Parameters
    ----------
    assessment : of a stack
    audio : clip id to its audio, of the clips that have some

    Returns
    -------
    content : AnswerContent, or None where there is no stack or no clip
    """
    compared = assessment.compared
    rows = compared.rows
    if compared.stack_scores is None or not len(rows):
        return None
    frame = pd.DataFrame({"clip_id": rows.ids, "system_id": rows.systems})
    if rows.prompts is not None:
        frame["prompt"] = rows.prompts
    frame["audio"] = [audio.get(clip, "") for clip in rows.ids]
    for k, aspect in enumerate(rows.aspects):
        frame[aspect] = compared.stack_scores[:, k]
        frame[f"{aspect}_true"] = rows.labels[:, k]

    # Those of the test split have intervals; clips held out of the fit have none.
    predictions = assessment.predictions
    if len(predictions):
        columns = [name for name in predictions if name not in frame]
        known = predictions.set_index("clip_id")[columns]
        frame = frame.join(known, on="clip_id")
    return AnswerContent(frame=frame, aspects=rows.aspects, level=INTERVAL_LEVEL)


def _ranking(rows_name: str, aspect: str, records: Sequence[Record]) -> Section:
    text = (
        f"Means over the {rows_words(rows_name)}, as the stack predicts them and as "
        "people rated them; the best prediction comes first."
    )
    rows = [
        [
            str(record["predicted_rank"]),
            record["system_id"],
            f"{record['predicted']:.2f}",
            f"{record['rated']:.2f}",
            # Zero is added so that what rounds to zero has no minus.
            f"{round(record['predicted'] - record['rated'], 2) + 0.0:+.2f}",
            str(record["rated_rank"]),
            str(record["n"]),
        ]
        for record in records
    ]
    charted = both_ends(pd.DataFrame(records))
    draw = partial(draw_judged, systems=charted)
    drawing = Drawing(
        title=f"{aspect}: where both marks meet, prediction is right",
        draw=draw,
        words=f"Predicted and rated means of systems for {aspect}, as in the table.",
        lines=len(charted),
    )
    return Section(
        title=f"Systems by {aspect}, {rows_words(rows_name)}",
        paragraphs=(Paragraph(text),),
        drawings=(drawing,),
        tables=(TextTable.plain(TITLES, rows),),
        reader=DECIDE,
        terms=(SYSTEM, *aspect_terms([aspect])),
    )


def _line(aspect: str, records: Sequence[Record]) -> str:
    """The ends of the ranking in one line of a terminal."""
    named = [f"{record['system_id']} {record['predicted']:.2f}" for record in records]
    shown = named
    if len(named) > 2 * MOST_NAMED:
        shown = [*named[:MOST_NAMED], "…", *named[-MOST_NAMED:]]
    text = f"{aspect} by system, predicted: {', '.join(shown)}"
    return text.replace(", …,", " …") + f" ({counted(len(records), 'system')})"
