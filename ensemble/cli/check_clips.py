"""``check_clips PATH``: look at clips and labels before anything is trained on them.

Exit code 0 when all is well, 3 when there are findings or rows that cannot be used, 2
when the table cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jsonargparse import Namespace

from base_models.errors import UsageError
from base_models.scales import LabelScales
from ensemble.cli.shared.clip_tables.problem_list import show_problems, write_listed
from ensemble.cli.shared.clip_tables.rater_section import print_raters, raters_of
from ensemble.cli.shared.clip_tables.rating_options import (
    add_rating_options,
    rating_options,
)
from ensemble.cli.shared.exit_codes import (
    ALL_WELL,
    CLIPS_SET_ASIDE,
    Screen,
    listed,
    run_command,
    say,
    say_more,
    say_notes,
    say_set_aside,
)
from ensemble.cli.shared.options import (
    Options,
    add_aspects_option,
    add_rating_scale_option,
    add_scale_option,
    choose_encoders,
)
from ensemble.cli.shared.output.output_files import (
    add_result_options,
    check_results,
    put_json,
    put_table,
)
from ensemble.screen import streams
from ensemble.screen.tables import LiteralTable

if TYPE_CHECKING:
    import pandas as pd

    from base_models.clips.check import Finding, ProbedAudio
    from base_models.clips.problems import Problem
    from base_models.clips.read_clips import ReadRows
    from base_models.metrics.learning_curve import MeanOfDraws
    from ensemble.training.checks.advice import Advice
    from ensemble.training.checks.learning_curve import LearningCurve

_Item = TypeVar("_Item")


_EXAMPLES = {
    "check_clips my_test.csv": "what is wrong with it, before anything is trained?",
    "check_clips clips.csv --ratings ratings.csv --aspects mi=quality": (
        "labels are means of single ratings, in a column called otherwise"
    ),
    "check_clips sheet.csv --columns system=model mi='Rating (1-5)' --fix clean.csv": (
        "say what is what, and write the rows that can be used as a plain table"
    ),
    "check_clips my_test.csv --curve --group content_id -o findings.csv": (
        "and what would the next 50 ratings buy? Keep the findings"
    ),
}


def _parser() -> Options:
    parser = Options(
        "check_clips",
        "Check clips and labels before anything is trained on them.",
        examples=_EXAMPLES,
    )
    _add_table_options(parser)
    _add_curve_options(parser)
    output = parser.group("output")
    output.add_argument(
        "--fix",
        type=str,
        metavar="FILE",
        help="write the rows that can be used to this file (.csv): standard names, "
        "plain numbers, paths that exist; what is left out is said",
    )
    add_result_options(
        output, "the findings, a clip a row,", "facts, findings and problems"
    )
    return parser


def _add_table_options(parser: Options) -> None:
    """Add the options that say what is checked."""
    clips = parser.group("clips and labels")
    add = clips.add_argument
    add(
        "path",
        type=str,
        metavar="PATH",
        help="table of clips (csv, xlsx, ods, json, parquet …), export of a listening "
        "test, MusicEval folder, label list, folder of audio, or audio file",
    )
    add_aspects_option(clips, also=", then by range")
    add_scale_option(clips)
    add(
        "--ratings",
        type=str,
        metavar="FILE",
        help="table of single ratings, whose means are the labels where there are none",
    )
    add_rating_scale_option(clips)
    add_rating_options(clips)
    add(
        "--group",
        type=str,
        metavar="COLUMN",
        help="column whose clips stay together in splits, e.g. content_id",
    )


def _add_curve_options(parser: Options) -> None:
    """Add the options of the learning curve."""
    add = parser.add("learning curve")
    add(
        "--curve",
        action="store_true",
        help="also: what the next 50 ratings would buy, by a fast learner on subsets",
    )
    add(
        "--audio-encoder",
        type=str,
        metavar="NAME",
        help="with --curve: encoder that it learns from; default: logmel",
    )
    add(
        "--text-encoder",
        type=str,
        metavar="NAME",
        help="with --curve: encoder of prompts, for aspects judged by text; default: "
        "hashed_text",
    )


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    _check_options(options)
    # Imported late, here and below: they load libraries that --help does not need.
    from base_models.clips.check import inspect_clips, probe_clips, summarise_clips
    from ensemble.training.checks.advice import Advice

    rows = _read_rows(options)
    clips = rows.clips
    # There is nothing to wait for where no clip names a file.
    names_audio = (clips["audio"] != "").any()
    track_audio = partial(_track, description="Reading audio", is_quiet=not names_audio)
    # Each file is read once, for the facts, the findings and the rows without audio.
    sounds = probe_clips(clips, track_audio)
    facts = summarise_clips(clips, sounds)
    # Of a table without ratings there is nothing to say.
    advice = None
    if clips.attrs["aspects"]:
        advice = Advice.of(clips, clips.attrs["aspects"], group=options.group)
        facts["advice"] = advice.to_json()
    raters = raters_of(clips)
    if raters:
        facts["raters"] = [one.to_json() for one in raters]
    findings = inspect_clips(clips, sounds)
    _say_files(sounds, findings)
    curve = None
    if options.curve:
        from base_models.clips.labels import labels_onto

        # Learnt on 1..5, as base models do.
        curve = _measure_curve(options, labels_onto(clips))
        facts["curve"] = [one.to_json() for one in curve.aspects]

    screen = Screen()
    for table in _facts_tables(facts):
        screen.print(table)
    print_raters(screen, raters)
    if advice:
        _print_advice(screen, advice)
    if curve:
        _print_curve(screen, curve)
    _print_findings(screen, findings)
    problems = _list_problems(rows, sounds)
    if options.fix:
        _write_fixed(options.fix, rows, sounds)

    if options.out:
        put_table(_finding_table(findings), options.out)
    if options.json:
        about = {
            "facts": facts,
            "findings": [asdict(finding) for finding in findings],
            "problems": [problem.to_json() for problem in problems],
        }
        put_json(about, options.json, "check_clips")
    code = say_set_aside(curve.set_aside) if curve else ALL_WELL
    return CLIPS_SET_ASIDE if findings or problems else code


def _read_rows(options: Namespace) -> ReadRows:
    """Read the rows that can be used, and say how the table was read."""
    from base_models.clips.demo.corpus import is_demo
    from base_models.clips.read_clips import collect_clips
    from base_models.clips.splits import group_column

    rows = collect_clips(
        options.path,
        aspects=options.aspects,
        ratings=options.ratings,
        rating_scale=options.rating_scale,
        scales=LabelScales.parse(options.scale),
        options=rating_options(options),
    )
    clips = rows.clips
    # Nothing is left to be described, so that the problems are the whole answer.
    if clips.empty:
        rows.problems.raise_if_any()
    if rows.problems:
        say(
            f"{len(clips)} of {rows.problems.n_rows} rows can be used; what follows is "
            "about these, and the problems of the others come last"
        )
    if options.group:
        options.group = group_column(clips, options.group)
    if is_demo(options.path):
        say("demo corpus: synthetic music and simulated raters")
    say_notes(clips.attrs.get("notes", ()))
    return rows


def _list_problems(rows: ReadRows, sounds: ProbedAudio) -> list[Problem]:
    """Show the rows that cannot be used; list them and those without audio."""
    from base_models.clips.problems import TableProblems

    if rows.problems:
        error = TableProblems(list(rows.problems), rows.problems.n_rows)
        show_problems(error, before="left out: ")
    problems = [*rows.problems, *_audio_problems(rows, sounds)]
    write_listed(problems)
    return problems


def _audio_problems(rows: ReadRows, sounds: ProbedAudio) -> list[Problem]:
    """Files that are missing or unreadable, by their rows."""
    if (rows.clips["audio"] == "").all():
        return []
    row_of = {clip: row for row, clip in enumerate(rows.clips["clip_id"])}
    cures = {
        "the audio file is missing": "Put it there, or name its folder (--audio-root).",
        "the audio cannot be used": "Write the file anew, or leave its row out.",
    }
    clips = dict(zip(cures, (sounds.missing, sounds.unreadable), strict=True))
    return [
        rows.problem(
            row_of[clip.clip_id],
            "audio",
            what=what,
            message=clip.reason,
            cure=cure,
        )
        for what, cure in cures.items()
        for clip in clips[what]
    ]


def _write_fixed(file: str, rows: ReadRows, sounds: ProbedAudio) -> None:
    """Write the rows that can be used, and say what is not among them."""
    from base_models.clips.rows.cleaned_table import write_cleaned_table

    # A table may be one of labels alone, whose audio is elsewhere.
    unread = [*sounds.missing, *sounds.unreadable] if sounds.read else []
    made = write_cleaned_table(file, rows, [clip.clip_id for clip in unread])
    n_rows = rows.problems.n_rows
    say(f"written: {file}, {made.n_rows} of {n_rows} rows")
    if rows.problems:
        n_wrong = len(rows.problems.rows)
        if n_wrong == 1:
            say("left out: 1 row with the problems above")
        else:
            say(f"left out: {n_wrong} rows with the problems above")
    if made.left_out:
        n_unread = len(made.left_out)
        say(
            f"left out: {n_unread} clip{'' if n_unread == 1 else 's'} whose audio is "
            f"missing or unreadable ({listed(made.left_out)})"
        )
    if made.columns_left_out:
        say(f"left out: columns {listed(made.columns_left_out)}")
    if made.n_joined:
        say(f"changed: line breaks in {made.n_joined} cells are blanks")


def _say_files(sounds: ProbedAudio, findings: Sequence[Finding]) -> None:
    """With -v: what each file is, and every clip of a finding."""
    for clip, audio in sounds.read.items():
        channels = f"{audio.channels} channel{'s' if audio.channels > 1 else ''}"
        say_more(
            f"{clip}: {audio.seconds:.2f} s, {audio.sample_rate} Hz, {channels}, peak "
            f"{audio.levels.peak:.3f}"
        )
    for finding in findings:
        for name in finding.examples:
            say_more(f"{finding.kind}: {name}")


def _finding_table(findings: Sequence[Finding]) -> pd.DataFrame:
    """A row for each finding and clip (or system) of it."""
    import pandas as pd

    rows = [
        (finding.kind, name, finding.message)
        for finding in findings
        for name in finding.examples or ("",)
    ]
    return pd.DataFrame(rows, columns=["kind", "id", "message"])


def _check_options(options: Namespace) -> None:
    """Refuse options that would be ignored, and files that cannot be written."""
    check_results(
        options,
        inputs=(options.path, options.ratings),
        others={
            "--fix": options.fix,
            "--problems": options.problems,
        },
    )
    if options.fix and Path(options.fix).suffix.lower() != ".csv":
        raise UsageError(f"--fix writes csv; name a file .csv, not {options.fix}.")
    if (options.audio_encoder or options.text_encoder) and not options.curve:
        raise UsageError(
            "--audio-encoder and --text-encoder belong to --curve, which learns from "
            "embeddings; add it, or leave them out."
        )
    if options.curve:
        audio = [options.audio_encoder] if options.audio_encoder else None
        text = [options.text_encoder] if options.text_encoder else None
        choose_encoders(audio, text, demo=True)


def _measure_curve(options: Namespace, clips: pd.DataFrame) -> LearningCurve:
    """How the error falls with the number of clips."""
    from ensemble.training.checks.learning_curve import CurveSetup, learning_curve
    from ensemble.training.progress import encoding

    if not clips.attrs["aspects"]:
        raise UsageError(
            f"--curve needs ratings, and {options.path} has none; name a column of "
            "ratings with --aspects, or leave --curve out."
        )
    named = {"audio_encoder": options.audio_encoder}
    named["text_encoder"] = options.text_encoder
    chosen = {name: word for name, word in named.items() if word}
    setup = CurveSetup(
        group=options.group,
        encoding=encoding,
        track=partial(_track, description="Learning from subsets"),
        **chosen,
    )
    return learning_curve(clips, setup)


def _track(
    items: Sequence[_Item], description: str, is_quiet: bool = False
) -> Iterable[_Item]:
    """Iterate over some items, with a progress bar on a terminal."""
    from rich.progress import track

    notes = Screen(stderr=True)
    is_quiet = is_quiet or streams.is_quiet()
    return track(
        items,
        description=description,
        console=notes,
        transient=True,
        disable=is_quiet or not notes.is_terminal,
    )


def _facts_tables(facts: Mapping[str, Any]) -> list[LiteralTable]:
    tables = [_systems_table(facts)]
    if facts["scores"]:
        tables.append(_labels_table(facts["scores"]))
    if "mean_ratings" in facts:
        tables.append(_ratings_table(facts["mean_ratings"]))
    if facts["audio_read"]:
        tables.append(_audio_table(facts))
    return tables


def _systems_table(facts: Mapping[str, Any]) -> LiteralTable:
    splits = list(facts["clips_per_split"])
    title = (
        f"{facts['clips']} clips, {facts['systems']} systems, "
        f"{facts['prompts']} prompts"
    )
    table = _new_table(title, ["system", *splits])
    for system, counts in facts["clips_per_system"].items():
        cells = [str(counts.get(split, 0)) for split in splits]
        table.add_row(system or "(none)", *cells)

    table.add_section()
    totals = [str(facts["clips_per_split"][split]) for split in splits]
    table.add_row("all", *totals)
    return table


def _labels_table(scores: Mapping[str, Mapping[str, Any]]) -> LiteralTable:
    names = ("min", "max", "mean", "step")
    table = _new_table("Labels", ["aspect", "labelled", *names])
    for aspect, about in scores.items():
        # An aspect without labels has none of these, and some scores have no step.
        numbers = [about.get(name) for name in names]
        cells = ["" if number is None else f"{number:.4g}" for number in numbers]
        table.add_row(aspect, str(about["labelled"]), *cells)
    return table


def _ratings_table(about_means: Mapping[str, Mapping[str, Any]]) -> LiteralTable:
    names = ("ratings", "clips", "min", "median", "max", "interval", "widest")
    table = _new_table(
        "Means of single ratings: ratings per clip, and width of the 95 % interval",
        ["aspect", *names],
    )
    for aspect, about in about_means.items():
        numbers = [about[name] for name in names]
        cells = ["" if number is None else f"{number:.4g}" for number in numbers]
        table.add_row(aspect, *cells)
    return table


def _audio_table(facts: Mapping[str, Any]) -> LiteralTable:
    seconds = facts["seconds"]
    rates = [f"{rate}: {count}" for rate, count in facts["sample_rates"].items()]
    channels = [f"{number}: {count}" for number, count in facts["channels"].items()]

    # Names and texts, and nothing to name in a header.
    table = LiteralTable(title="Audio", show_header=False)
    table.add_column()
    table.add_column()
    table.add_row("read", f"{facts['audio_read']} clips, {facts['hours']:.2f} h")
    table.add_row(
        "seconds",
        f"{seconds['min']:.1f} to {seconds['max']:.1f}, median {seconds['median']:.1f}",
    )
    table.add_row("Hz: clips", ", ".join(rates))
    table.add_row("channels: clips", ", ".join(channels))
    table.add_row("bandwidth", _bandwidth_text(facts["bandwidth"]))
    if facts["decoder_notes"]:
        table.add_row("decoder", f"has notes on {facts['decoder_notes']} clips")
    return table


def _bandwidth_text(bandwidth: Mapping[str, Any]) -> str:
    low = bandwidth["min"]
    median = bandwidth["median"]
    text = f"from {low:.0f} Hz, median {median:.0f} Hz"
    count = bandwidth["below_encoders"]
    if count:
        verb = "has" if count == 1 else "have"
        text += f"; {count} {verb} less than encoders expect (8000 Hz)"
    return text


def _new_table(title: str, columns: Sequence[str]) -> LiteralTable:
    """A table with a column of names, and columns of numbers."""
    table = LiteralTable(title=title, elsewhere="--json FILE has them")
    table.add_column(columns[0])
    for name in columns[1:]:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _print_advice(screen: Screen, advice: Advice) -> None:
    screen.print("What so many rated clips can carry")
    for line in advice.lines:
        screen.paragraph(f"- {line}")


def _print_curve(screen: Screen, curve: LearningCurve) -> None:
    title = (
        "Learning curve of a pooled learner: clips left out, mean over draws and 95 % "
        "interval"
    )
    table = _new_table(title, ["aspect", "rated clips", "MSE", "SRCC"])
    for one in curve.aspects:
        table.add_row(one.aspect, "a constant", _mean_text(one.constant), "")
        columns = zip(
            one.counts, one.measured["mse"], one.measured["srcc"], strict=True
        )
        for count, error, correlation in columns:
            cells = [str(count), _mean_text(error), _mean_text(correlation)]
            table.add_row(one.aspect, *cells)
    screen.print(table)
    for one in curve.aspects:
        screen.paragraph(one.sentence)


def _mean_text(mean: MeanOfDraws) -> str:
    return f"{mean.mean:.3f} ({mean.low:.3f} to {mean.high:.3f})"


def _print_findings(screen: Screen, findings: Sequence[Finding]) -> None:
    if not findings:
        screen.print("No findings.")
        return
    table = _new_table("Findings", ["what", "clips"])
    table.add_column("")
    for finding in findings:
        table.add_row(finding.kind, str(finding.count), finding.message)
    screen.print(table)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main, argv))
