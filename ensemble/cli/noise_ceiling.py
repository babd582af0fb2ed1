"""``noise_ceiling RATINGS``: what a perfect predictor would score against such ratings.

No predictions are needed. Exit code 0 when all is well, 2 when a file or an option
cannot be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from ensemble.cli.shared.clip_tables.rating_options import (
    add_rating_options,
    rating_options,
)
from ensemble.cli.shared.exit_codes import ALL_WELL, Screen, run_command, say, say_notes
from ensemble.cli.shared.options import Options, add_aspects_option, seed
from ensemble.cli.shared.output.output_files import (
    add_result_options,
    check_results,
    put_json,
    put_table,
)
from ensemble.screen.tables import LiteralTable

if TYPE_CHECKING:
    from ensemble.evaluate_predictions import RatedCeiling


_EXAMPLES = {
    "noise_ceiling ratings.csv": "how well could any predictor do?",
    "noise_ceiling ratings.csv --clips clips.csv --aspects mi=quality": (
        "systems of clips are named elsewhere, and a column is called otherwise"
    ),
    "noise_ceiling ratings.csv --scale 0 100 -o ceiling.csv": (
        "refuse ratings beyond 0..100, and keep the numbers"
    ),
}


def _parser() -> Options:
    parser = Options(
        "noise_ceiling",
        "What a perfect predictor would score against labels that are means of these "
        "ratings, with intervals over systems. For the MSE, what it would not fall "
        "below.",
        examples=_EXAMPLES,
    )
    ratings = parser.group("ratings")
    add = ratings.add_argument
    add(
        "ratings",
        type=str,
        metavar="RATINGS",
        help="single ratings: MusicEval folder, or csv/tsv/jsonl/parquet table with a "
        "row per clip and rater, or with lists of ratings",
    )
    add(
        "--clips",
        type=str,
        metavar="TABLE",
        help="table with the system of each clip (system_id), where the ratings do not "
        "name it",
    )
    add_aspects_option(ratings)
    add(
        "--rating-scale",
        "--scale",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="lowest and highest rating; one beyond them is refused; default: any",
    )
    add_rating_options(ratings, anchors="drop; with --clips, which names them, keep")
    add = parser.add("intervals")
    add("--level", type=float, default=0.95, help="coverage, between 0 and 1")
    add(
        "--bootstrap",
        type=int,
        default=1000,
        help="how often systems are resampled; 0: no intervals",
    )
    add("--seed", type=seed, default=0, help="starts the random numbers")
    add_result_options(
        parser.group("output"),
        "the ceilings, one a row,",
        "ceilings, settings and notes",
        old_name="--csv",
    )
    return parser


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    check_results(
        options,
        inputs=(options.ratings, options.clips),
        others={
            "--problems": options.problems,
        },
    )
    # Imported late, as --help needs none of it.
    from ensemble.evaluate_predictions import Resampling, ceiling_of_ratings

    resampling = Resampling(options.bootstrap, seed=options.seed, level=options.level)
    found = ceiling_of_ratings(
        options.ratings,
        clips=options.clips,
        aspects=options.aspects,
        rating_scale=options.rating_scale,
        resampling=resampling,
        options=rating_options(options, "keep" if options.clips else "drop"),
    )
    counted = f"{found.n_clips} clips"
    if found.n_systems:
        counted += f" of {found.n_systems} systems"
    say(f"{len(found.ratings)} ratings of {counted}")
    say_notes(found.notes)
    Screen().print(_table(found, options.level))

    if options.out:
        put_table(found.ceiling, options.out)
    if options.json:
        settings = {
            "ratings": options.ratings,
            "clips_of": options.clips,
            "bootstrap": options.bootstrap,
            "seed": options.seed,
            "interval": options.level,
        }
        put_json({**settings, **found.to_json()}, options.json, "noise_ceiling")
    return ALL_WELL


def _table(found: RatedCeiling, level: float) -> LiteralTable:
    """Ceilings of every aspect, in the units of the ratings."""
    from base_models.metrics.evaluate import LEVELS, METRICS
    from ensemble.reporting.number_text import number_text

    # With one system, or none that is named, clips are resampled.
    units = "systems" if found.n_systems > 1 else "clips"
    has_intervals = found.ceiling["low"].notna().any()
    intervals = f"{level * 100:g} % intervals over {units}"
    title = (
        f"Noise ceiling, {intervals if has_intervals else 'without intervals'}\n"
        "MSE: the floor, in squared points of the ratings' own scale"
    )
    table = LiteralTable(title=Text(title), names=2, elsewhere="-o FILE has them")
    table.add_column("aspect", overflow="fold", min_width=6)
    table.add_column("metric", no_wrap=True)
    for name in LEVELS:
        table.add_column(name, justify="right", no_wrap=True)

    rows = found.ceiling.to_dict("records")
    row_of = {(row["aspect"], row["level"], row["metric"]): row for row in rows}
    for aspect in found.aspects:
        # Each aspect names itself once.
        name = aspect
        for metric in METRICS:
            cells = []
            for level_name in LEVELS:
                row = row_of[aspect, level_name, metric]
                ends = (row["low"], row["high"])
                cells.append(number_text(row["ceiling"], *ends, note=row["note"]))
            table.add_row(name, metric.upper(), *cells)
            name = ""
        table.add_section()
    return table


def main() -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main))
