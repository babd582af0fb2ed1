"""Whether a clip that measures the stack was used before: the leak audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ensemble.reporting.answers.terms import BASE_MODEL, ROWS_TERMS
from ensemble.reporting.answers.words import counted, named
from ensemble.reporting.section import (
    Paragraph,
    Record,
    ReportContent,
    Section,
    TextTable,
)
from meta.splits.leak_audit import STACK

USES = {
    "training": "train",
    "selection": "choose its checkpoint",
    "meta-training": "fit the stack (meta-training)",
    "meta-validation": "check the stack (meta-validation)",
    "test": "judge the stack (test)",
}
"""What labels of clips are used for, in words."""
COUNT_TITLES = ("used by", "to", "clips")
OVERLAP_TITLES = ("clips", "used by", "to", "and again to", "recognised by", "such as")
_EXPLAINED = (
    "A stack looks better than it is when it is judged on clips that it, or a base "
    "model, has learnt from, so every use of a rated clip was compared with every "
    "other."
)


def leak_audit_sections(content: ReportContent) -> Iterator[Section]:
    """What was compared, what was found, and what could not be checked."""
    found = content.values["audit"]
    # Reports of earlier versions hold no counts.
    if not found.get("counts"):
        return
    paragraphs = [Paragraph(_EXPLAINED), Paragraph(_result(found))]
    paragraphs += [Paragraph(text) for text in _unchecked(content.values)]
    tables = []
    if found["overlaps"]:
        rows = [_overlap(record) for record in found["overlaps"]]
        tables.append(TextTable.plain(OVERLAP_TITLES, rows))
    counts = list(_counts(found["counts"]))
    if counts:
        tables.append(TextTable.plain(COUNT_TITLES, counts))
    mark = "LEAKY: " if found["overlaps"] else ""
    yield Section(
        title=f"{mark}Leak audit",
        paragraphs=tuple(paragraphs),
        tables=tuple(tables),
        terms=(BASE_MODEL, *ROWS_TERMS),
    )


def unlisted_sentence(values: Mapping[str, Any]) -> str:
    """Which base models do not say what they have seen; "" where all say it."""
    own = values.get("out_of_fold", [])
    unlisted = [name for name in values["audit"]["unlisted"] if name not in own]
    if not unlisted:
        return ""
    says = "does not say which clips it was trained on"
    if len(unlisted) > 1:
        says = "do not say which clips they were trained on"
    return f"{counted(len(unlisted), 'base model')} ({named(unlisted)}) {says}"


def _result(found: Mapping[str, Any]) -> str:
    if not found["overlaps"]:
        return "No clip has two uses, as far as could be checked."
    n = len(found["overlaps"])
    return (
        f"Clips with two uses were found ({counted(n, 'overlap')}): no number of this "
        "report says what the stack does on new clips."
    )


def _unchecked(values: Mapping[str, Any]) -> Iterator[str]:
    """What an audit by these data cannot find, and why some need not be found."""
    own = values.get("out_of_fold", [])
    if own:
        yield (
            f"Predicted out of fold by {counted(len(own), 'base model')}: each clip by "
            "a model that had not seen its rating."
        )
    sentence = unlisted_sentence(values)
    if sentence:
        yield f"Not checked: {sentence}."
    n_unhashed = values["audit"]["unhashed"]
    if n_unhashed:
        verb = "is" if n_unhashed == 1 else "are"
        yield (
            f"{counted(n_unhashed, 'clip')} {verb} known by name and predictions "
            "alone, not by sound: a copy under another name could pass."
        )


def _overlap(record: Record) -> Sequence[str]:
    ways: Counter[str] = Counter(record["known_by"])
    how = ", ".join(f"{way} ({n})" for way, n in ways.items())
    user = "the stack" if record["model"] == STACK else record["model"]
    return [
        str(len(record["clip_ids"])),
        user,
        USES.get(record["use"], str(record["use"])),
        USES.get(record["role"], str(record["role"])),
        how,
        named(record["clip_ids"], limit=3),
    ]


def _counts(counts: Mapping[str, Mapping[str, int]]) -> Iterator[Sequence[str]]:
    """Who used how many clips for what; uses of none are left out."""
    for user, by_use in counts.items():
        for use, n in by_use.items():
            if n:
                name = "the stack" if user == STACK else user
                yield [name, USES.get(use, use), str(n)]
