"""evaluate_mos: anybody's predictions against the labels, every number with its interval over systems.

With --deletion --clips TABLE: whether the scores of a stack's base models depend on what they attend to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from base_models.errors import UsageError, some
from base_models.files import atomic_write, write_json
from ensemble.cli.shared.deletion import (
    add_deletion_options,
    refuse_deletion_options,
    run_deletion,
)
from ensemble.cli.shared.exit_codes import Screen, run, say
from ensemble.cli.shared.options import Options


def _parser() -> Options:
    parser = Options("evaluate_mos", __doc__)
    add = parser.add_argument
    add(
        "predictions",
        nargs="?",
        help="csv, tsv, jsonl or parquet with ids and scores, or answer.txt",
    )
    add(
        "labels",
        nargs="?",
        help="MusicEval folder, label list, or csv/tsv/jsonl/parquet table",
    )
    add(
        "--ratings",
        type=str,
        help="single ratings: also the noise ceiling, and their probability under distributions",
    )
    add(
        "--rating-scale",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="ends of their scale; default: 1 5",
    )
    add(
        "--aspects",
        nargs="+",
        help="rated columns, and the order of scores in a file without a header",
    )
    add(
        "--split",
        type=str,
        help="only clips of train, dev or test (default: all labelled clips)",
    )
    add("--level", type=float, default=0.95, help="coverage of the intervals")
    add(
        "--bootstrap",
        type=int,
        help="resamples of the systems; 0: no intervals; default: 1000",
    )
    add(
        "--seed",
        type=int,
        default=0,
        help="of the resamples, or of the random removals",
    )
    add(
        "--json",
        type=str,
        help="also write metrics, settings and unmatched ids to this file",
    )
    add(
        "--csv",
        type=str,
        help="also write the metrics to this file, one number with its interval per line",
    )
    add_deletion_options(parser)
    return parser


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    if options.deletion:
        return run_deletion(options)
    refuse_deletion_options(options)
    if not options.labels:
        raise UsageError(
            "Name a file of predictions and then the labels; or --deletion and a table with --clips."
        )
    from ensemble.evaluate_predictions import described, evaluate_file

    rated = options.ratings, options.rating_scale
    bootstrap = 1000 if options.bootstrap is None else options.bootstrap
    drawn = bootstrap, options.seed, options.level
    found = evaluate_file(
        options.predictions,
        options.labels,
        options.aspects,
        options.split,
        *rated,
        *drawn,
    )
    read = ", ".join(
        f"{aspect} from '{column}'" for aspect, column in found.columns.items()
    )
    say(f"{described(found.joined, options.split)}; {read}")
    for note in found.notes:
        say(f"note: {note}")
    Screen().print(_table(found, options.level))
    if options.csv:
        atomic_write(options.csv, found.metrics.to_csv(index=False).encode())
    if options.json:
        facts = {
            "predictions": options.predictions,
            "labels": options.labels,
            "split": options.split,
        }
        facts |= {
            "bootstrap": bootstrap,
            "seed": options.seed,
            "interval": options.level,
        }
        write_json(Path(options.json), facts | found.to_json())
    return _say_unmatched(found.not_predicted, found.not_labelled)


def _table(found, level: float) -> Table:
    from ensemble.reporting.number_text import number_text

    table = Table(
        title=f"{level * 100:g} % intervals over systems", title_justify="left"
    )
    for name in ("aspect", "metric", "utterance", "system"):
        table.add_column(
            name,
            no_wrap=name != "aspect",
            justify="right" if name in {"utterance", "system"} else "left",
        )
    shown = [("", found.metrics, "value")] + (
        [("ceiling ", found.ceiling, "ceiling")] if len(found.ceiling) else []
    )
    for aspect in found.aspects:
        for prefix, rows, value in shown:
            by = {
                (row.level, row.metric): row
                for row in rows[rows["aspect"] == aspect].itertuples()
            }
            if not prefix:
                clips, systems = by["utterance", "mse"].n, by["system", "mse"].n
                table.add_row(
                    Text(aspect),
                    "n",
                    f"{clips} clips",
                    f"{systems} system{'s' * (systems != 1)}",
                )
            for metric in ("mse", "lcc", "srcc", "ktau"):
                cells = (by[place, metric] for place in ("utterance", "system"))
                name = f"{prefix}{metric.upper()}"
                table.add_row(
                    "",
                    name,
                    *(
                        number_text(getattr(cell, value), cell.low, cell.high)
                        for cell in cells
                    ),
                )
        for row in (
            found.likely[found.likely["aspect"] == aspect].itertuples()
            if len(found.likely)
            else ()
        ):
            table.add_row(
                "",
                f"log p, {row.ratings} ratings",
                number_text(row.value, row.low, row.high),
                "",
            )
        table.add_section()
    return table


def _say_unmatched(not_predicted: Sequence[str], not_labelled: Sequence[str]) -> int:
    """Name the clips that stand on one side only; the exit code that follows from them."""
    if not_labelled:
        say(
            f"predicted but not labelled here, left aside: {len(not_labelled)} ({some(not_labelled)})"
        )
    if not_predicted:
        say(
            f"labelled but NOT PREDICTED, the metrics leave them out: {len(not_predicted)} ({some(not_predicted)})"
        )
    return 3 if not_predicted else 0


def main() -> None:
    """Console entry point."""
    raise SystemExit(run(_main))
