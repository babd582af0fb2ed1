"""``check_clips PATH``: look at clips and labels before anything is trained on them.

Exit code 0 when all is well, 3 when there are findings, 2 when the table cannot be
read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd
from jsonargparse import Namespace
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from base_models.clips.check import Finding, inspect_clips, probe_clips, summarise_clips
from base_models.clips.labels import labels_onto
from base_models.clips.read_clips import read_clips
from base_models.errors import UsageError, one_of
from base_models.files import write_json
from base_models.scales import LabelScales
from ensemble.cli.shared.exit_codes import (
    ALL_WELL,
    CLIPS_SET_ASIDE,
    Screen,
    run_command,
    say,
    say_notes,
    say_set_aside,
)
from ensemble.cli.shared.options import (
    Options,
    add_aspects_option,
    add_scale_option,
    choose_encoders,
)
from ensemble.cli.shared.output_files import check_outputs

if TYPE_CHECKING:
    from base_models.metrics.learning_curve import MeanOfDraws
    from ensemble.training.checks.advice import Advice
    from ensemble.training.checks.learning_curve import LearningCurve

_Item = TypeVar("_Item")


def _parser() -> Options:
    parser = Options(
        "check_clips", "Check clips and labels before anything is trained on them."
    )
    add = parser.add_argument
    add(
        "path",
        type=str,
        help="MusicEval folder, label list, or .csv/.tsv/.jsonl/.parquet table",
    )
    add_aspects_option(parser, also=", then by range")
    add_scale_option(parser)
    add(
        "--ratings",
        type=str,
        help="table of single ratings, whose means are the labels where there are none",
    )
    add(
        "--rating-scale",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="ends of their scale; default: that of --scale, else 1 5",
    )
    add(
        "--group",
        type=str,
        help="column whose clips stay together in splits, e.g. content_id",
    )
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
        help="likewise, for aspects judged by text; default: hashed_text",
    )
    add("--json", type=str, help="also write facts and findings to this file")
    return parser


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    _check_options(options)
    check_outputs({"--json": options.json}, inputs=(options.path, options.ratings))
    # Imported late: these load libraries that --help does not need.
    from base_models.clips.demo.corpus import is_demo
    from ensemble.training.checks.advice import Advice

    clips = read_clips(
        options.path,
        aspects=options.aspects,
        ratings=options.ratings,
        rating_scale=options.rating_scale,
        scales=LabelScales.parse(options.scale),
    )
    if options.group:
        one_of(options.group, clips.columns, "column for --group")
    if is_demo(options.path):
        say("demo corpus: synthetic music and simulated raters")
    say_notes(clips.attrs.get("notes", ()))

    # There is nothing to wait for where no clip names a file.
    names_audio = (clips["audio"] != "").any()
    track_audio = partial(_track, description="Reading audio", is_quiet=not names_audio)
    sounds = probe_clips(clips, track_audio)
    facts = summarise_clips(clips, sounds)
    # Of a table without ratings there is nothing to say.
    advice = None
    if clips.attrs["aspects"]:
        advice = Advice.of(clips, clips.attrs["aspects"], group=options.group)
        facts["advice"] = advice.to_json()
    findings = inspect_clips(clips, sounds)
    curve = None
    if options.curve:
        # Learnt on 1..5, as base models do.
        curve = _measure_curve(options, labels_onto(clips))
        facts["curve"] = [one.to_json() for one in curve.aspects]

    screen = Screen()
    for table in _facts_tables(facts):
        screen.print(table)
    if advice:
        _print_advice(screen, advice)
    if curve:
        _print_curve(screen, curve)
    _print_findings(screen, findings)

    if options.json:
        written = [asdict(finding) for finding in findings]
        write_json(options.json, {"facts": facts, "findings": written})
        screen.print(Text(f"Written to {options.json}"))
    code = say_set_aside(curve.set_aside) if curve else ALL_WELL
    return CLIPS_SET_ASIDE if findings else code


def _check_options(options: Namespace) -> None:
    """Refuse options that would be ignored."""
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
    notes = Screen(stderr=True)
    return track(
        items,
        description=description,
        console=notes,
        transient=True,
        disable=is_quiet or not notes.is_terminal,
    )


def _facts_tables(facts: Mapping[str, Any]) -> list[Table]:
    tables = [_systems_table(facts)]
    if facts["scores"]:
        tables.append(_labels_table(facts["scores"]))
    if "mean_ratings" in facts:
        tables.append(_ratings_table(facts["mean_ratings"]))
    if facts["audio_read"]:
        tables.append(_audio_table(facts))
    return tables


def _systems_table(facts: Mapping[str, Any]) -> Table:
    splits = list(facts["clips_per_split"])
    title = (
        f"{facts['clips']} clips, {facts['systems']} systems, "
        f"{facts['prompts']} prompts"
    )
    table = _new_table(title, ["system", *splits])
    # Names are passed as Text, in which brackets are no markup of rich's.
    for system, counts in facts["clips_per_system"].items():
        cells = [str(counts.get(split, 0)) for split in splits]
        table.add_row(Text(system or "(none)"), *cells)

    table.add_section()
    totals = [str(facts["clips_per_split"][split]) for split in splits]
    table.add_row("all", *totals)
    return table


def _labels_table(scores: Mapping[str, Mapping[str, Any]]) -> Table:
    names = ("min", "max", "mean", "step")
    table = _new_table("Labels", ["aspect", "labelled", *names])
    for aspect, about in scores.items():
        # An aspect without labels has none of these, and some scores have no step.
        numbers = [about.get(name) for name in names]
        cells = ["" if number is None else f"{number:.4g}" for number in numbers]
        table.add_row(Text(aspect), str(about["labelled"]), *cells)
    return table


def _ratings_table(about_means: Mapping[str, Mapping[str, Any]]) -> Table:
    names = ("ratings", "clips", "min", "median", "max", "interval", "widest")
    table = _new_table(
        "Means of single ratings: ratings per clip, and width of the 95 % interval",
        ["aspect", *names],
    )
    for aspect, about in about_means.items():
        numbers = [about[name] for name in names]
        cells = ["" if number is None else f"{number:.4g}" for number in numbers]
        table.add_row(Text(aspect), *cells)
    return table


def _audio_table(facts: Mapping[str, Any]) -> Table:
    seconds = facts["seconds"]
    rates = [f"{rate}: {count}" for rate, count in facts["sample_rates"].items()]
    channels = [f"{number}: {count}" for number, count in facts["channels"].items()]

    # Names and texts, and nothing to name in a header.
    table = Table(title="Audio", title_justify="left", show_header=False)
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


def _new_table(title: str, columns: Sequence[str]) -> Table:
    """A table with a column of names, and columns of numbers."""
    table = Table(title=title, title_justify="left")
    table.add_column(columns[0])
    for name in columns[1:]:
        table.add_column(name, justify="right")
    return table


def _print_advice(screen: Console, advice: Advice) -> None:
    screen.print("What so many rated clips can carry")
    for line in advice.lines:
        screen.print(Text(f"- {line}"))


def _print_curve(screen: Console, curve: LearningCurve) -> None:
    title = (
        "Learning curve of a pooled learner: clips left out, mean over draws and 95 % "
        "interval"
    )
    table = _new_table(title, ["aspect", "rated clips", "MSE", "SRCC"])
    for one in curve.aspects:
        table.add_row(Text(one.aspect), "a constant", _mean_text(one.constant), "")
        columns = zip(
            one.counts, one.measured["mse"], one.measured["srcc"], strict=True
        )
        for count, error, correlation in columns:
            cells = [str(count), _mean_text(error), _mean_text(correlation)]
            table.add_row(Text(one.aspect), *cells)
    screen.print(table)
    for one in curve.aspects:
        screen.print(Text(one.sentence))


def _mean_text(mean: MeanOfDraws) -> str:
    return f"{mean.mean:.3f} ({mean.low:.3f} to {mean.high:.3f})"


def _print_findings(screen: Console, findings: Sequence[Finding]) -> None:
    if not findings:
        screen.print("No findings.")
        return
    table = _new_table("Findings", ["what", "clips"])
    table.add_column("")
    for finding in findings:
        table.add_row(finding.kind, str(finding.count), Text(finding.message))
    screen.print(table)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main, argv))
