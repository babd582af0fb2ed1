"""Where scores go: to a file, as a table to a terminal, or as csv into a pipe."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from base_models.errors import in_the_middle
from base_models.files import atomic_write, nan_to_none, write_json
from base_models.scales import Scale
from ensemble.cli.shared.exit_codes import Screen, say
from ensemble.cli.shared.output.output_files import STDOUT, put_json
from ensemble.screen.streams import is_stdout_taken, put_bytes, put_line
from ensemble.screen.tables import LiteralTable

if TYPE_CHECKING:
    from ensemble.formats import Distributions, Scores
    from ensemble.scoring.score_windows import WindowedScores

_LONGEST_GROUP = 24
"""Characters of the name of a group, which is often a prompt, on a terminal."""


def output_format(out: str | None, name: str | None) -> str | None:
    """The output format: named, or by the suffix of the file.

    None, without either, leaves it to standard output: a table on a terminal, csv in a
    pipe.
    """
    from ensemble.formats import check_format, format_of_file

    if name:
        return check_format(name)
    if out == STDOUT:
        return "csv"
    return None if out is None else format_of_file(out)


def put_scores(
    scores: Scores,
    out: str | None,
    form: str | None,
    level: float,
    record: Mapping[str, Any] | None = None,
) -> None:
    """Write scores to the file `out` and print its name, or to standard output.

    A `record` of how they came about is written beside the file, where the format has
    no place for it.
    """
    from ensemble.cli.shared.output.score_record import record_file
    from ensemble.formats import encode_scores

    # Only a person at a terminal, who asked for no format, is shown a table.
    if out is None and form is None and (sys.stdout.isatty() or is_stdout_taken()):
        Screen().print(score_table(scores, level))
        return

    data = encode_scores(scores, form or "csv", record)
    if out and out != STDOUT:
        atomic_write(out, data)
        beside = record_file(out, form)
        if record is not None and beside is not None:
            write_json(beside, record)
        put_line(out)
    else:
        put_bytes(data)


def put_facts(
    scores: Scores,
    file: str,
    level: float,
    windowed: WindowedScores | None = None,
    record: Mapping[str, Any] | None = None,
) -> None:
    """Write scores and all that is known of them as JSON."""
    from ensemble.scoring.score_facts import score_facts

    facts = score_facts(scores, level)
    facts["run"] = dict(record or {})
    if windowed is not None:
        facts["over_time"] = nan_to_none(windowed.over_time)
    put_json(facts, file, "predict_mos")


def say_range(scores: Scores) -> None:
    """Say how many clips are unlike those that the stack learnt from.

    Whoever reads the scores has to know it first.
    """
    if scores.check is not None:
        for sentence in scores.check.sentences:
            say(sentence)


def say_audio(scores: Scores) -> None:
    """Say which clips have audio that their scores are not to be trusted for."""
    for note in scores.audio_notes:
        say(note)


def put_distributions(distributions: Distributions, out: str) -> None:
    """Write distributions to the file `out`, and print its name."""
    from ensemble.formats import encode_distributions, format_of_distributions

    form = format_of_distributions(out)
    atomic_write(out, encode_distributions(distributions, form))
    # Aspects on one scale share a line.
    aspects_of: dict[str, list[str]] = {}
    for aspect in distributions.aspects:
        centers = distributions.centers(aspect)
        listed = f"{centers[0]:g}, {centers[1]:g} … {centers[-1]:g}"
        aspects_of.setdefault(listed, []).append(aspect)
    count = distributions.bins.count
    for listed, aspects in aspects_of.items():
        of = f" of {', '.join(aspects)}" if len(aspects_of) > 1 else ""
        say(f"distributions: {out}, {count} bins{of} with centres {listed}")


def score_table(scores: Scores, level: float) -> LiteralTable:
    """Scores for a terminal: one row per clip, one column per aspect."""
    from meta.score_columns import FLAGS

    scales = {
        aspect: scores.scales.get(aspect, Scale(1, 5)) for aspect in scores.aspects
    }
    shared = set(scales.values())
    ends = ""
    if len(shared) == 1:
        (scale,) = shared
        ends = f"{scale.low:g} to {scale.high:g}, "
    table = LiteralTable(
        title=f"mean opinion scores, {ends}with {level:.0%} intervals",
        elsewhere="-o FILE has them",
    )
    table.add_column("clip", overflow="fold")
    # Rows of the best of each group say how they rank in it.
    is_ranked = {"group", "rank", "candidates", "p_best"} <= set(scores.frame.columns)
    if is_ranked:
        table.add_column("rank", justify="right", no_wrap=True)
        table.add_column("P(best)", justify="right", no_wrap=True)
    disagree = [name for name in scores.aspects if f"{name}_sd" in scores.frame]
    for aspect, scale in scales.items():
        heading = aspect if ends else f"{aspect}, {scale.low:g} to {scale.high:g}"
        table.add_column(heading, justify="right", no_wrap=True)
        if aspect in disagree:
            table.add_column("sd of raters", justify="right", no_wrap=True)
    # A column of nothing would only take room.
    is_flagged = scores.frame[FLAGS].any()
    if is_flagged:
        table.add_column("flags")
    if is_ranked:
        table.add_column("group", no_wrap=True)

    for row in scores.usable.to_dict("records"):
        cells = []
        if is_ranked:
            cells.append(f"{row['rank']} of {row['candidates']}")
            cells.append(f"{row['p_best']:.2f}")
        for aspect in scores.aspects:
            low = row[f"{aspect}_low"]
            high = row[f"{aspect}_high"]
            has_score = row[aspect] == row[aspect]
            text = f"{row[aspect]:.2f} [{low:.2f}, {high:.2f}]"
            cells.append(text if has_score else "no prompt")
            if aspect in disagree:
                cells.append(f"{row[f'{aspect}_sd']:.2f}" if has_score else "")
        if is_flagged:
            flags = row[FLAGS].split()
            cells.append(", ".join(flags).replace("_", " "))
        if is_ranked:
            cells.append(in_the_middle(str(row["group"]), _LONGEST_GROUP))
        # A line parts groups of several clips.
        if is_ranked and row["rank"] == 1 and scores.usable["rank"].max() > 1:
            table.add_section()
        table.add_row(row["clip_id"], *cells)
    return table
