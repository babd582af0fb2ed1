"""The sections of a report, one module each but for mere sentences.

In: `ReportContent`, out: `Section`s. A new section is a module here with a
function that makes it, and a line in `SECTIONS`. Read `comparisons.py` first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ensemble.reporting.section import ReportContent, Section
from ensemble.reporting.sections.calibration import calibration_sections
from ensemble.reporting.sections.comparisons import comparisons_sections
from ensemble.reporting.sections.contributions import contributions_sections
from ensemble.reporting.sections.decision import decision_sections
from ensemble.reporting.sections.disagreement import disagreement_sections
from ensemble.reporting.sections.interval_coverage import interval_coverage_sections
from ensemble.reporting.sections.leaderboards import (
    fitted_leaderboards_sections,
    leaderboards_sections,
)
from ensemble.reporting.sections.leak_audit import leak_audit_sections
from ensemble.reporting.sections.noise_ceiling import noise_ceiling_sections
from ensemble.reporting.sections.notices import notices_sections
from ensemble.reporting.sections.other_learners import (
    other_learners_sections,
    overfitting_sections,
)
from ensemble.reporting.sections.pictures import pictures_sections
from ensemble.reporting.sections.sentences import (
    how_to_read_sections,
    verdict_sections,
    warnings_sections,
)
from ensemble.reporting.sections.stack import (
    learner_choice_sections,
    stack_sections,
)
from ensemble.reporting.sections.summary import summary_sections

SECTIONS: tuple[Callable[[ReportContent], Iterable[Section]], ...] = (
    notices_sections,
    summary_sections,
    decision_sections,
    verdict_sections,
    stack_sections,
    learner_choice_sections,
    interval_coverage_sections,
    warnings_sections,
    pictures_sections,
    leaderboards_sections,
    overfitting_sections,
    other_learners_sections,
    comparisons_sections,
    contributions_sections,
    noise_ceiling_sections,
    disagreement_sections,
    calibration_sections,
    leak_audit_sections,
    how_to_read_sections,
    fitted_leaderboards_sections,
)
"""What makes the sections, in the order of the page. The terminal shows tables and
opening lines in this order, and closing lines in the opposite one, so that the verdict
is what the command says last."""


def sections_of(content: ReportContent, with_fitted: bool = True) -> list[Section]:
    """All sections of a report; those with nothing to show are left out.

    Parameters
    ----------
    content : what they are made from
    with_fitted : False leaves out the leaderboards of rows that the stack was fitted
        on, which measure nothing
    """
    makers = [
        make
        for make in SECTIONS
        if with_fitted or make is not fitted_leaderboards_sections
    ]
    return [section for make in makers for section in make(content)]
