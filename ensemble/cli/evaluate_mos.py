"""``evaluate_mos PREDICTIONS LABELS``: predictions of any tool against labels.

Exit code 0 when all is well, 3 when some labelled clips were not predicted (or lack the
score of an aspect) or a system of theirs has no true score, 2 when a file or an option
cannot be used. With ``--deletion`` it is another command, see `shared.deletion`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace
from rich.text import Text

from base_models.errors import UsageError
from ensemble.cli.shared.deletion import (
    add_deletion_options,
    refuse_deletion_options,
    run_deletion,
)
from ensemble.cli.shared.exit_codes import (
    ALL_WELL,
    CLIPS_SET_ASIDE,
    Screen,
    listed,
    run_command,
    say,
    say_notes,
    say_problem,
)
from ensemble.cli.shared.options import (
    Options,
    add_aspects_option,
    add_rating_scale_option,
    add_scale_option,
    add_system_truth_option,
    seed,
)
from ensemble.cli.shared.output_files import (
    add_result_options,
    check_outputs,
    put_json,
    put_table,
    table_format,
)
from ensemble.cli.shared.rating_options import add_rating_options, rating_options
from ensemble.screen.tables import LiteralTable

if TYPE_CHECKING:
    import pandas as pd

    from ensemble.evaluate_predictions import Evaluation, Resampling

_MISSING_LABELS = (
    "Name a file of predictions and then the labels; or --deletion and a table with "
    "--clips."
)


_EXAMPLES = {
    "evaluate_mos scores.csv labels.csv": "eight metrics an aspect, with intervals",
    "evaluate_mos tool.csv:0-100 labels.csv --ratings ratings.csv -o metrics.csv": (
        "scores on 0..100; the noise ceiling beside every metric; numbers kept"
    ),
    "evaluate_mos --deletion --clips clips.csv --split test": (
        "does the last stack depend on what it attends to?"
    ),
}


def _parser() -> Options:
    parser = Options(
        "evaluate_mos",
        "Anybody's predictions against the labels, every number with its interval over "
        "systems. With --deletion --clips TABLE: whether the scores of a stack's base "
        "models depend on what they attend to.",
        examples=_EXAMPLES,
    )
    _add_file_options(parser)
    _add_interval_options(parser)
    _add_output_options(parser)
    add_deletion_options(parser)
    return parser


def _add_file_options(parser: Options) -> None:
    """Add the options that say what is read, and which clips and aspects of it."""
    files = parser.group("predictions and labels")
    add = files.add_argument
    add(
        "predictions",
        nargs="?",
        metavar="PREDICTIONS",
        help="csv, tsv, jsonl or parquet with ids and scores, or answer.txt; "
        "FILE:0-100 names the scale of the scores, default: known from the columns, "
        "else that of the labels",
    )
    add(
        "labels",
        nargs="?",
        metavar="LABELS",
        help="MusicEval folder, label list, or csv/tsv/jsonl/parquet table, also one "
        "of single ratings",
    )
    add(
        "--ratings",
        type=str,
        metavar="FILE",
        help="single ratings: also the noise ceiling, and their probability under "
        "distributions",
    )
    add_rating_scale_option(files)
    add_rating_options(files)
    add_scale_option(files)
    add_system_truth_option(files)
    add_aspects_option(
        files, also="; also the order of scores in a file without a header"
    )
    add(
        "--split",
        type=str,
        help="only clips of train, dev or test; default: all labelled clips",
    )


def _add_interval_options(parser: Options) -> None:
    """Add the options that say how intervals are made."""
    add = parser.add("intervals")
    add("--level", type=float, default=0.95, help="coverage, between 0 and 1")
    # Without a default of its own, so that --deletion can refuse it.
    add(
        "--bootstrap",
        type=int,
        help="how often systems are resampled; 0: no intervals; default: 1000",
    )
    add(
        "--seed",
        type=seed,
        default=0,
        help="starts the random numbers: of the resamples, or of the random removals",
    )


def _add_output_options(parser: Options) -> None:
    """Add the options that name files to write."""
    add_result_options(
        parser.group("output"),
        "the metrics, one number with its interval a row,",
        "metrics, settings and unmatched ids",
        old_name="--csv",
    )


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    if options.deletion:
        return run_deletion(options)
    # Without --deletion its options would be ignored without a word.
    refuse_deletion_options(options)
    if not options.labels:
        raise UsageError(_MISSING_LABELS)
    check_outputs(
        {
            "--out": options.out,
            "--json": options.json,
            "--problems": options.problems,
        },
        inputs=(
            options.predictions,
            options.labels,
            options.ratings,
            options.system_truth,
        ),
    )
    if options.out:
        table_format(options.out)
    # Imported late, as --help needs none of it.
    from base_models.scales import LabelScales
    from ensemble.evaluate_predictions import (
        FileScales,
        describe_clips,
        evaluate_file,
    )

    resampling = _resampling(options)
    evaluation = evaluate_file(
        options.predictions,
        options.labels,
        aspects=options.aspects,
        split=options.split,
        ratings=options.ratings,
        scales=FileScales(
            LabelScales.parse(options.scale),
            options.rating_scale,
            options=rating_options(options),
        ),
        resampling=resampling,
        system_truth=options.system_truth,
    )

    columns = evaluation.columns.items()
    origins = ", ".join(f"{aspect} from '{column}'" for aspect, column in columns)
    say(f"{describe_clips(evaluation.joined, options.split)}; {origins}")
    say_notes(evaluation.notes)
    Screen().print(_table(evaluation, options.level))

    if options.out:
        put_table(evaluation.metrics, options.out)
    if options.json:
        facts = _to_json(evaluation, options, resampling)
        put_json(facts, options.json, "evaluate_mos")
    code = _say_unscored(evaluation.without_score)
    unmatched = _say_unmatched(evaluation.not_predicted, evaluation.not_labelled)
    code = max(code, unmatched)
    return CLIPS_SET_ASIDE if evaluation.without_truth else code


def _resampling(options: Namespace) -> Resampling:
    from ensemble.evaluate_predictions import Resampling

    if options.bootstrap is None:
        return Resampling(seed=options.seed, level=options.level)
    return Resampling(options.bootstrap, seed=options.seed, level=options.level)


def _to_json(
    evaluation: Evaluation, options: Namespace, resampling: Resampling
) -> dict[str, Any]:
    return {
        "predictions": options.predictions,
        "labels": options.labels,
        "split": options.split,
        "bootstrap": resampling.n_bootstrap,
        "seed": resampling.seed,
        "interval": resampling.level,
        **evaluation.to_json(),
    }


def _table(evaluation: Evaluation, level: float) -> LiteralTable:
    """The metrics of every aspect, then its noise ceilings and likelihood."""
    # With one system, or none that is named, clips are resampled.
    metrics = evaluation.metrics
    n_systems = metrics.loc[metrics["level"] == "system", "n"].max()
    units = "systems" if n_systems > 1 else "clips"
    intervals = f"{level * 100:g} % intervals over {units}"
    if not evaluation.metrics["low"].notna().any():
        intervals = "without intervals"
    title = f"{intervals}\n{evaluation.system_truth}"
    table = LiteralTable(title=Text(title), names=2, elsewhere="-o FILE has them")
    table.add_column("aspect", overflow="fold", min_width=6)
    table.add_column("metric", no_wrap=True)
    table.add_column("utterance", no_wrap=True, justify="right")
    table.add_column("system", no_wrap=True, justify="right")

    for aspect in evaluation.aspects:
        metrics = _of_aspect(evaluation.metrics, aspect)
        _add_counts(table, aspect, metrics)
        _add_metrics(table, metrics, column="value")
        # Both are empty without single ratings.
        if len(evaluation.ceiling):
            ceilings = _of_aspect(evaluation.ceiling, aspect)
            _add_metrics(table, ceilings, column="ceiling", prefix="ceiling ")
        if len(evaluation.likely):
            _add_likelihood(table, _of_aspect(evaluation.likely, aspect))
        table.add_section()
    return table


def _of_aspect(numbers: pd.DataFrame, aspect: str) -> list[dict[str, Any]]:
    return numbers[numbers["aspect"] == aspect].to_dict("records")


def _add_counts(
    table: LiteralTable, aspect: str, metrics: list[dict[str, Any]]
) -> None:
    """Add a row with the numbers of clips and systems."""
    # Every metric of a level has the same number of clips or systems.
    count = {row["level"]: row["n"] for row in metrics}
    plural = "" if count["system"] == 1 else "s"
    table.add_row(
        aspect,
        "n",
        f"{count['utterance']} clips",
        f"{count['system']} system{plural}",
    )


def _add_metrics(
    table: LiteralTable, rows: list[dict[str, Any]], column: str, prefix: str = ""
) -> None:
    """Add a row per metric, with the number in a column at both levels."""
    from base_models.metrics.evaluate import LEVELS, METRICS

    row_of = {(row["level"], row["metric"]): row for row in rows}
    for metric in METRICS:
        numbers = [_number(row_of[level, metric], column) for level in LEVELS]
        table.add_row("", f"{prefix}{metric.upper()}", *numbers)


def _add_likelihood(table: LiteralTable, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        table.add_row("", f"log p, {row['ratings']} ratings", _number(row, "value"), "")


def _number(row: dict[str, Any], column: str) -> str:
    """The number in a column, with its interval."""
    from ensemble.reporting.number_text import number_text

    return number_text(row[column], row["low"], row["high"], row["note"])


def _say_unscored(without_score: Mapping[str, Sequence[str]]) -> int:
    """Name the clips that lack the score of an aspect; the exit code that follows."""
    for aspect, clips in without_score.items():
        say_problem(
            f"labelled but WITHOUT A SCORE of {aspect}, its metrics leave them out: "
            f"{len(clips)} ({listed(clips)})"
        )
    return CLIPS_SET_ASIDE if without_score else ALL_WELL


def _say_unmatched(not_predicted: Sequence[str], not_labelled: Sequence[str]) -> int:
    """Name the clips that are on one side only; the exit code that follows."""
    if not_labelled:
        say(
            "predicted but not labelled here, left aside: "
            f"{len(not_labelled)} ({listed(not_labelled)})"
        )
    if not_predicted:
        say_problem(
            "labelled but NOT PREDICTED, the metrics leave them out: "
            f"{len(not_predicted)} ({listed(not_predicted)})"
        )
    return CLIPS_SET_ASIDE if not_predicted else ALL_WELL


def main() -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main))
