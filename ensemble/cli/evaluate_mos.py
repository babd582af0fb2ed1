"""``evaluate_mos PREDICTIONS LABELS``: predictions of any tool against labels.

Exit code 0 when all is well, 3 when some labelled clips were not predicted (or lack the
score of an aspect) or a system of theirs has no true score, 2 when a file or an option
cannot be used. With ``--deletion`` it is another command, see `shared.deletion`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace
from rich.table import Table
from rich.text import Text

from base_models.errors import UsageError, some
from base_models.files import atomic_write, write_json
from ensemble.cli.shared.deletion import (
    add_deletion_options,
    refuse_deletion_options,
    run_deletion,
)
from ensemble.cli.shared.exit_codes import (
    ALL_WELL,
    CLIPS_SET_ASIDE,
    Screen,
    run_command,
    say,
)
from ensemble.cli.shared.options import (
    Options,
    add_aspects_option,
    add_scale_option,
    seed,
)
from ensemble.cli.shared.output_files import check_outputs
from ensemble.cli.shared.rating_options import add_rating_options, rating_options

if TYPE_CHECKING:
    import pandas as pd

    from ensemble.evaluate_predictions import Evaluation, Resampling

_MISSING_LABELS = (
    "Name a file of predictions and then the labels; or --deletion and a table with "
    "--clips."
)


def _parser() -> Options:
    parser = Options(
        "evaluate_mos",
        "evaluate_mos: anybody's predictions against the labels, every number with its "
        "interval over systems. With --deletion --clips TABLE: whether the scores of a "
        "stack's base models depend on what they attend to.",
    )
    _add_file_options(parser)
    _add_interval_options(parser)
    _add_output_options(parser)
    add_deletion_options(parser)
    return parser


def _add_file_options(parser: Options) -> None:
    """Add the options that say what is read, and which clips and aspects of it."""
    add = parser.add_argument
    add(
        "predictions",
        nargs="?",
        help="csv, tsv, jsonl or parquet with ids and scores, or answer.txt; "
        "FILE:0-100 names the scale of the scores, default: known from the columns, "
        "else that of the labels",
    )
    add(
        "labels",
        nargs="?",
        help="MusicEval folder, label list, or csv/tsv/jsonl/parquet table, also one "
        "of single ratings",
    )
    add(
        "--ratings",
        type=str,
        help="single ratings: also the noise ceiling, and their probability under "
        "distributions",
    )
    add(
        "--rating-scale",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="ends of their scale; default: that of --scale, else 1 5",
    )
    add_rating_options(parser)
    add_scale_option(parser)
    add(
        "--system-truth",
        type=str,
        metavar="FILE",
        help="true scores of systems (csv sysID,MI,TA), or 'tree': the file in "
        "system_mos of the MusicEval tree; default: means of the clips",
    )
    add_aspects_option(
        parser, also="; also the order of scores in a file without a header"
    )
    add(
        "--split",
        type=str,
        help="only clips of train, dev or test (default: all labelled clips)",
    )


def _add_interval_options(parser: Options) -> None:
    """Add the options that say how intervals are made."""
    add = parser.add_argument
    add("--level", type=float, default=0.95, help="coverage of the intervals")
    # Without a default of its own, so that --deletion can refuse it.
    add(
        "--bootstrap",
        type=int,
        help="resamples of the systems; 0: no intervals; default: 1000",
    )
    add(
        "--seed",
        type=seed,
        default=0,
        help="of the resamples, or of the random removals",
    )


def _add_output_options(parser: Options) -> None:
    """Add the options that name files to write."""
    add = parser.add_argument
    add(
        "--json",
        type=str,
        help="also write metrics, settings and unmatched ids to this file",
    )
    add(
        "--csv",
        type=str,
        help="also write the metrics to this file, one number with its interval per "
        "line",
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
        {"--json": options.json, "--csv": options.csv},
        inputs=(
            options.predictions,
            options.labels,
            options.ratings,
            options.system_truth,
        ),
    )
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
    for note in evaluation.notes:
        say(f"note: {note}")
    Screen().print(_table(evaluation, options.level))

    if options.csv:
        atomic_write(options.csv, evaluation.metrics.to_csv(index=False).encode())
    if options.json:
        write_json(Path(options.json), _to_json(evaluation, options, resampling))
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


def _table(evaluation: Evaluation, level: float) -> Table:
    """The metrics of every aspect, then its noise ceilings and likelihood."""
    # With one system, or none that is named, clips are resampled.
    metrics = evaluation.metrics
    n_systems = metrics.loc[metrics["level"] == "system", "n"].max()
    units = "systems" if n_systems > 1 else "clips"
    intervals = f"{level * 100:g} % intervals over {units}"
    if not evaluation.metrics["low"].notna().any():
        intervals = "without intervals"
    title = f"{intervals}\n{evaluation.system_truth}"
    table = Table(title=Text(title), title_justify="left")
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


def _add_counts(table: Table, aspect: str, metrics: list[dict[str, Any]]) -> None:
    """Add a row with the numbers of clips and systems."""
    # Every metric of a level has the same number of clips or systems.
    count = {row["level"]: row["n"] for row in metrics}
    plural = "" if count["system"] == 1 else "s"
    table.add_row(
        Text(aspect),
        "n",
        f"{count['utterance']} clips",
        f"{count['system']} system{plural}",
    )


def _add_metrics(
    table: Table, rows: list[dict[str, Any]], column: str, prefix: str = ""
) -> None:
    """Add a row per metric, with the number in a column at both levels."""
    from base_models.metrics.evaluate import LEVELS, METRICS

    row_of = {(row["level"], row["metric"]): row for row in rows}
    for metric in METRICS:
        numbers = [_number(row_of[level, metric], column) for level in LEVELS]
        table.add_row("", f"{prefix}{metric.upper()}", *numbers)


def _add_likelihood(table: Table, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        table.add_row("", f"log p, {row['ratings']} ratings", _number(row, "value"), "")


def _number(row: dict[str, Any], column: str) -> str:
    """The number in a column, with its interval."""
    from ensemble.reporting.number_text import number_text

    return number_text(row[column], row["low"], row["high"], row["note"])


def _say_unscored(without_score: Mapping[str, Sequence[str]]) -> int:
    """Name the clips that lack the score of an aspect; the exit code that follows."""
    for aspect, clips in without_score.items():
        say(
            f"labelled but WITHOUT A SCORE of {aspect}, its metrics leave them out: "
            f"{len(clips)} ({some(clips)})"
        )
    return CLIPS_SET_ASIDE if without_score else ALL_WELL


def _say_unmatched(not_predicted: Sequence[str], not_labelled: Sequence[str]) -> int:
    """Name the clips that are on one side only; the exit code that follows."""
    if not_labelled:
        say(
            "predicted but not labelled here, left aside: "
            f"{len(not_labelled)} ({some(not_labelled)})"
        )
    if not_predicted:
        say(
            "labelled but NOT PREDICTED, the metrics leave them out: "
            f"{len(not_predicted)} ({some(not_predicted)})"
        )
    return CLIPS_SET_ASIDE if not_predicted else ALL_WELL


def main() -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main))
