"""The page of scored clips: what `predict_mos` and `compare_systems` answer with."""

from __future__ import annotations

from collections.abc import Iterator

from ensemble.formats import Scores
from ensemble.reporting.answers.answer_content import AnswerContent, Background
from ensemble.reporting.answers.clips import clips_sections
from ensemble.reporting.answers.summary import summary_sections
from ensemble.reporting.answers.systems import systems_sections
from ensemble.reporting.page import page
from ensemble.reporting.page_audio import PageAudio
from ensemble.reporting.section import Provenance, Section
from meta.comparison.systems.system_comparison import SystemComparison


def answer_report(
    scores: Scores,
    comparison: SystemComparison | None = None,
    *,
    level: float = 0.9,
    background: Background | None = None,
    provenance: Provenance | None = None,
    audio: PageAudio | None = None,
) -> bytes:
    """The page of scored clips and, where there are several, of their systems.

    Parameters
    ----------
    scores : of the clips; best with distributions of the stack, which become pictures
    comparison : of the systems, or None where there are not two of them
    level : nominal coverage of the intervals of single clips
    background : what is known of the stack
    provenance : how the scores came about
    audio : what players play; None for nothing

    Returns
    -------
    page : bytes
        One HTML file that asks nothing of a network.
    """
    content = AnswerContent.of(scores, comparison, level=level, background=background)
    return answer_page(content, provenance, audio)


def answer_page(
    content: AnswerContent,
    provenance: Provenance | None = None,
    audio: PageAudio | None = None,
) -> bytes:
    """The same of clips whose scores are no `Scores`, such as those of a table.

    Parameters
    ----------
    content : the clips
    provenance, audio : see `answer_report`
    """
    sections = list(answer_sections(content))
    return page(
        title=_title(content), sections=sections, provenance=provenance, audio=audio
    ).encode()


def answer_sections(content: AnswerContent) -> Iterator[Section]:
    """The summary, the systems, and the clips to listen to."""
    yield from summary_sections(content)
    yield from systems_sections(content)
    yield from clips_sections(content)


def _title(content: AnswerContent) -> str:
    if content.comparison is not None:
        return "Systems compared"
    return "Scored clips"
