"""The comparisons that the verdict is made of."""

from __future__ import annotations

from collections.abc import Iterator

from ensemble.reporting.answers.terms import (
    HOLM,
    INTERVAL,
    METRIC_TERMS,
    P_VALUE,
)
from ensemble.reporting.number_text import cell_text, p_cell, probability_text
from ensemble.reporting.section import (
    Paragraph,
    Record,
    ReportContent,
    Section,
    TextTable,
)

TITLES = (
    "aspect",
    "level",
    "metric",
    "against",
    "stack",
    "other",
    "difference [95 %]",
    "P(stack better)",
    "p",
    "p, Holm",
    "said",
    "seen 4 times of 5",
    "n",
)
_DETAILS = (
    "Differences are the stack's metric minus the other's. The best base model is the "
    "one that was best on the clips of the fit, by each metric: another may be first "
    "here by luck. p is found by exchanging the two models in some of the systems (and "
    "prompts, where systems share them), and adjusted by Holm over the rows that the "
    "verdict draws on, those against a constant by themselves; the interval holds the "
    "differences that this test does not reject at 5 % before that adjustment, and "
    "P(stack better) follows from the same p. A true difference of the size under "
    '"seen 4 times of 5" would be claimed in four of five such listening tests; none '
    "where so few systems can show nothing."
)


def comparisons_sections(content: ReportContent) -> Iterator[Section]:
    """Every metric of the stack minus that of each of its rivals."""
    verdict = content.values["verdict"]
    if not verdict["comparisons"]:
        return
    text = (
        "The stack beside each rival, metric by metric: a difference is claimed (said) "
        "only where it is larger than chance explains."
    )
    cells = [_cells(comparison) for comparison in verdict["comparisons"]]
    yield Section(
        title=f"{verdict['rows']}: the stack against its rivals",
        paragraphs=(Paragraph(text), Paragraph(_DETAILS, kind="small")),
        tables=(TextTable.plain(TITLES, cells),),
        terms=(P_VALUE, HOLM, INTERVAL, *METRIC_TERMS),
    )


def _cells(comparison: Record) -> list[str]:
    # The mean of the base models is a rival without a name of its own.
    rival = comparison["rival"]
    model = comparison["model"]
    against = rival if model == rival else f"{rival} ({model})"
    return [
        comparison["aspect"],
        comparison["level"],
        comparison["metric"],
        against,
        cell_text(comparison, "stack"),
        cell_text(comparison, "other"),
        cell_text(comparison, "difference", "low", "high"),
        probability_text(comparison["p_better"]),
        p_cell(comparison["p"]),
        p_cell(comparison["p_holm"]),
        comparison["said"],
        _smallest(comparison),
        str(comparison["n"]),
    ]


def _smallest(comparison: Record) -> str:
    """The smallest detectable difference, of the rows that the verdict draws on."""
    # Reports of earlier versions have none.
    if comparison["p_holm"] is None or "smallest" not in comparison:
        return "-"
    if comparison["smallest"] is None:
        return "none"
    # Nothing tells models apart that are alike in all of these rows.
    return cell_text(comparison, "smallest") if comparison["smallest"] else "alike"
