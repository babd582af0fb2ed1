"""Which stack was measured, on which clips, and what its learner chose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ensemble.reporting.answers.terms import LEARNER
from ensemble.reporting.section import Paragraph, ReportContent, Section
from meta.columns.reductions import REDUCTIONS

COLUMNS = {
    "score": "the score of each model",
    "moments": "score, standard deviation and skew of each model",
    "bins": "all bins of each model",
}
"""What a ridge sees of the models, by the name of the reduction."""
PENALTIES = {
    "ridge": "shrunk towards 0",
    "to_mean": "shrunk towards the plain mean of the models",
    "smooth": "neighbouring bins alike",
    "banded": "shrunk towards 0, each model by a factor of its own",
}
SHARED_BY = {
    "constant": "a constant",
    "mean": "the plain mean of the models",
    "skill": "a mean weighted by skill",
    "ridge": "ridge, models penalised by how little each tells alone",
    "ridge_to_mean": "ridge shrunk towards the plain mean",
}
"""The parts of the learner ``stack``, by their names."""


def stack_sections(content: ReportContent) -> Iterator[Section]:
    """The meta-learner, the clip table, and a note on how it was split."""
    values = content.values
    learner = f"Learner {values['learner']}"
    text = f"{learner}, clips from {values['source']}; {values['note']}."
    line = f"{values['source']}: {values['note']}"
    yield Section(
        title="How the stack was made",
        paragraphs=(Paragraph(text, lead=learner),),
        opening_lines=(line,),
        terms=(LEARNER,),
    )


def learner_choice_sections(content: ReportContent) -> Iterator[Section]:
    """A sentence per aspect about what the learner chose; none for plain weights."""
    learner = content.values["learner"]
    lines = []
    for aspect, facts in content.values.get("learner_facts", {}).items():
        choice = choice_sentence(facts)
        if choice:
            lines.append(f"{aspect}: {learner} {choice}")
    if lines:
        yield Section(
            paragraphs=tuple(Paragraph(f"{line}.") for line in lines),
            closing_lines=tuple(lines),
        )


def choice_sentence(facts: Mapping[str, Any]) -> str:
    """What a learner chose, from the facts that it gives; "" where it has no choice.

    >>> choice_sentence({"trees": 40, "held_out": 25})
    'grew 40 trees, their number chosen on 25 clips held out'
    """
    if "features" in facts and "penalty" in facts:
        return _of_ridge(facts)
    if "trees" in facts:
        n_held_out = facts["held_out"]
        how = "no clip held out to stop by"
        if n_held_out:
            how = f"their number chosen on {n_held_out} clips held out"
        return f"grew {facts['trees']} trees, {how}"
    if "shares" in facts:
        return _of_shares(facts)
    if "why" in facts:
        return f"chose the {facts['chosen']}. {facts['why'].rstrip('.')}"
    return ""


def _of_shares(facts: Mapping[str, Any]) -> str:
    shares = facts["shares"]
    parts = [
        f"{shares[name]:.0%} {words}"
        for name, words in SHARED_BY.items()
        if round(shares[name], 2) > 0
    ]
    return f"is {', '.join(parts)}; {facts['why'].rstrip('.')}"


def _of_ridge(facts: Mapping[str, Any]) -> str:
    features = facts["features"]
    parts = [
        f"uses {COLUMNS[features]} ({features})",
        f"penalty {facts['penalty']} ({PENALTIES[facts['penalty']]})",
        _alpha(facts),
        _left(facts),
    ]
    return "; ".join(part for part in parts if part)


def _alpha(facts: Mapping[str, Any]) -> str:
    alpha = facts.get("alpha")
    if alpha is None:
        return "no coefficients learnt"
    if facts.get("alpha_is_set"):
        return f"alpha {alpha:.3g}, as set"
    return f"alpha {alpha:.3g}, chosen by {facts['judged_by']}"


def _left(facts: Mapping[str, Any]) -> str:
    """Which columns were not used, and why."""
    features = facts["features"]
    compared = facts.get("compared")
    if compared is None:
        return "other columns not tried"

    errors = [f"{name} {compared[name]:.4f}" for name in REDUCTIONS if name in compared]
    others = [name for name in REDUCTIONS if name != features]
    text = (
        f"left {' and '.join(others)} (MSE on groups left out: {', '.join(errors)}; "
        "more columns must be clearly better)"
    )
    for name, reason in facts.get("left_out", {}).items():
        text += f", {name} untried: {reason}"
    return text
