"""``rate_less PREDICTIONS RATINGS``: means of systems from few ratings.

Exit code 0 when all is well, 3 when a rated clip has no prediction or a system no rated
clip, 2 when a file or an option cannot be used. With ``--plan --budget N`` it writes
which clips to rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace
from rich.text import Text

from base_models.errors import UsageError, some
from base_models.files import nan_to_none
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
    say_notes,
    say_problem,
)
from ensemble.cli.shared.options import Options, add_aspects_option, seed
from ensemble.cli.shared.output.output_files import (
    add_result_options,
    check_results,
    put_json,
    put_table,
    table_format,
)
from ensemble.screen.tables import LiteralTable

if TYPE_CHECKING:
    import pandas as pd

    from base_models.scales import Scale
    from ensemble.rate_less import RateLessData, SeenClips
    from meta.powered_means.powered_means import PoweredMeans
    from meta.powered_means.rating_plan import PlanSettings, RatingPlan

_VALID_IF = (
    "valid if the rated clips were drawn at random, and no prediction was learnt from "
    "ratings of these clips (those of predict_mos --cross-fit were not; --stack FOLDER "
    "checks it); each interval holds by itself, p values are adjusted by Holm over all "
    "pairs"
)
_PLAN_OPTIONS = {
    "budget": "--budget",
    "ratings_per_clip": "--ratings-per-clip",
    "allocate": "--allocate",
    "rater_deviation": "--rater-deviation",
    "interval_level": "--interval-level",
    "seed": "--seed",
}
_ESTIMATE_OPTIONS = {
    "population": "--population",
    "design": "--design",
    "differences": "--differences",
}
_MOST_DIFFERENCES = 15
"""That are shown on the terminal."""


_EXAMPLES = {
    "rate_less scores.csv --plan --budget 200 -o plan.csv": "which clips to rate",
    "rate_less scores.csv ratings.csv": "means of systems from those few ratings",
    "rate_less scores.csv ratings.csv --compare v1 v2 -o means.csv": (
        "the difference of two systems; means as a table"
    ),
}


def _parser() -> Options:
    parser = Options(
        "rate_less",
        "Means of systems and of the corpus from ratings of a few clips and "
        "predictions of all (prediction-powered inference), beside those of the "
        "ratings alone, with intervals. With --plan --budget N: which clips to rate, "
        "and what intervals to expect.",
        examples=_EXAMPLES,
    )
    _add_file_options(parser)
    _add_estimate_options(parser)
    _add_plan_options(parser)
    return parser


def _add_file_options(parser: Options) -> None:
    """Add the options that say what is read and written."""
    files = parser.group("predictions and ratings")
    add = files.add_argument
    add(
        "predictions",
        metavar="PREDICTIONS",
        help="table (csv, xlsx, json, parquet …) with ids and scores of ALL clips, "
        "rated or not, as predict_mos writes them; FILE:0-100 names the scale of the "
        "scores",
    )
    add(
        "ratings",
        nargs="?",
        metavar="RATINGS",
        help="single ratings, or a table with a mean rating a clip, of some of them; "
        "with --plan: ratings that there are already",
    )
    add(
        "--clips",
        type=str,
        metavar="TABLE",
        help="table that names the system (and prompt) of every clip; default: the "
        "file of predictions, or the system in names such as S002_P001",
    )
    add_aspects_option(files)
    add(
        "--rating-scale",
        "--scale",
        nargs="+",
        metavar=("LOW", "HIGH"),
        help="ends of the scale of the ratings, on which the means are; of single "
        "aspects ASPECT=LOW-HIGH; default: 1 5",
    )
    add_rating_options(
        files,
        anchors="keep, as the predictions are of all clips",
        table="the ratings, --clips or the predictions",
    )
    add(
        "--stack",
        type=str,
        metavar="FOLDER",
        help="folder of the stack that predicted: leave out the clips that a base "
        "model of it was fitted on, and those that it was fitted on itself, unless "
        "predict_mos --cross-fit predicted them",
    )
    add("--level", type=float, default=0.95, help="coverage of the intervals")
    output = parser.group("output")
    add_result_options(output, "the means, or the plan,", "everything")
    output.add_argument(
        "--differences",
        type=str,
        metavar="FILE",
        help="also write the difference of every pair of systems to this file (.csv "
        ".jsonl .parquet); -: as csv to standard output",
    )


def _add_estimate_options(parser: Options) -> None:
    """Add the options that say what is estimated."""
    add = parser.add("estimates")
    add(
        "--population",
        type=str,
        help="system: the mean of clips of a system in general; clips: that of exactly "
        "the predicted clips; default: system",
    )
    add(
        "--design",
        type=str,
        help="systems: rated clips were drawn within each system; corpus: among all "
        "clips; default: systems where each has a rated clip",
    )
    add(
        "--compare",
        nargs="+",
        metavar="SYSTEM",
        help="only the differences of these systems; with --plan: rate only these",
    )


def _add_plan_options(parser: Options) -> None:
    """Add the options of a plan."""
    add = parser.add("plan")
    add("--plan", action="store_true", help="write which clips to rate (needs -o)")
    add("--budget", type=int, help="how many ratings to plan")
    add(
        "--ratings-per-clip",
        type=int,
        help="how many different raters rate a clip; default: 1",
    )
    add(
        "--allocate",
        type=str,
        help="systems: spread ratings for the mean of each system; corpus: for that of "
        "all clips; equal: equal numbers, to compare systems; default: systems",
    )
    add(
        "--rater-deviation",
        type=float,
        help="standard deviation of ratings of one clip; default: 0.85 on 1..5, and in "
        "proportion on other scales",
    )
    add(
        "--interval-level",
        type=float,
        help="coverage of the intervals in the file of predictions; default: 0.9",
    )
    add("--seed", type=seed, help="starts the random draw of clips; default: 0")


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    _check_options(options)
    # Imported late, as --help needs none of it.
    from base_models.scales import LabelScales
    from ensemble.rate_less import read_rate_less

    data = read_rate_less(
        options.predictions,
        options.ratings,
        clips=options.clips,
        aspects=options.aspects,
        rating_scale=LabelScales.parse(options.rating_scale),
        seen=_seen_by(options.stack),
        options=rating_options(options, anchors="keep"),
    )
    origins = (f"{name} from '{column}'" for name, column in data.columns.items())
    say(f"{len(data.clips)} predicted clips; {', '.join(origins)}")
    say_notes(data.notes)
    code = _say_left_out(data)
    if options.plan:
        return max(code, _plan(options, data))
    return max(code, _estimate(options, data))


def _check_options(options: Namespace) -> None:
    """Refuse options of the other use, which would be ignored without a word."""
    unused = _ESTIMATE_OPTIONS if options.plan else _PLAN_OPTIONS
    given = [word for name, word in unused.items() if options[name] is not None]
    if options.plan:
        if given:
            raise UsageError(
                f"{some(given)}: not with --plan, which estimates nothing."
            )
        if options.budget is None or not options.out:
            raise UsageError(
                "A plan needs a number of ratings and a file for the clips: --plan "
                "--budget 200 --out plan.csv."
            )
    elif given:
        raise UsageError(f"{some(given)}: only with --plan.")
    elif not options.ratings:
        raise UsageError(
            "Name a file of predictions and then one of ratings; or --plan --budget N "
            "--out FILE for which clips to rate."
        )
    check_results(
        options,
        inputs=(options.predictions, options.ratings, options.clips),
        others={
            "--differences": options.differences,
            "--problems": options.problems,
        },
    )
    if options.differences:
        table_format(options.differences)


def _seen_by(stack: str | None) -> SeenClips:
    """The clips that a stack has learnt from."""
    from ensemble.rate_less import NOTHING_SEEN

    if not stack:
        return NOTHING_SEEN
    from ensemble.scoring.seen_clips import seen_clips

    return seen_clips(stack)


def _say_left_out(data: RateLessData) -> int:
    """Name the clips that are on one side only; the exit code that follows."""
    strangers = data.rated_without_prediction
    if strangers:
        say_problem(
            "rated but NOT PREDICTED, their ratings are left out: "
            f"{len(strangers)} ({listed(strangers)})"
        )
    if data.not_predicted:
        say_problem(
            "of the table but NOT PREDICTED, the means are not about them: "
            f"{len(data.not_predicted)} ({listed(data.not_predicted)})"
        )
    if data.learnt_from:
        say_problem(
            "LEARNT FROM by what predicts them, the means are not about them: "
            f"{len(data.learnt_from)} ({listed(data.learnt_from)})"
        )
    if data.cross_fitted:
        say(
            "note: cross-fitting: the stack was fitted on "
            f"{len(data.cross_fitted)} of the clips, which stay: each is predicted by "
            "a learner that had not its rating, nor another of its system where the "
            "fit named systems"
        )
    has_left_out = strangers or data.not_predicted or data.learnt_from
    return CLIPS_SET_ASIDE if has_left_out else ALL_WELL


# ---- estimates


def _estimate(options: Namespace, data: RateLessData) -> int:
    import pandas as pd

    from meta.powered_means.powered_means import powered_means

    found = {}
    for aspect in data.aspects:
        found[aspect] = powered_means(
            data.sample(aspect),
            population=options.population or "system",
            design=options.design or "auto",
            level=options.level,
            compare=options.compare,
            bins=data.bins(aspect),
        )
        Screen().print(_means_table(aspect, found[aspect], data.scales[aspect]))
        _show_differences(aspect, found[aspect])
        say_notes(f"{aspect}: {note}" for note in found[aspect].notes)
    say(_VALID_IF)

    if options.out:
        tables = [of.means.assign(aspect=name) for name, of in found.items()]
        put_table(_aspect_first(pd.concat(tables)), options.out)
    if options.differences:
        tables = [of.differences.assign(aspect=name) for name, of in found.items()]
        put_table(_aspect_first(pd.concat(tables)), options.differences)
    if options.json:
        facts = _to_json(options, found, data.scales)
        put_json(facts, options.json, "rate_less")
    return _say_unrated(found)


def _aspect_first(table: pd.DataFrame) -> pd.DataFrame:
    columns = ["aspect", *(name for name in table.columns if name != "aspect")]
    return table[columns].reset_index(drop=True)


def _say_unrated(found: dict[str, PoweredMeans]) -> int:
    for aspect, means in found.items():
        if means.unrated:
            say_problem(
                f"{aspect}: WITHOUT A RATED CLIP, no mean of {len(means.unrated)} "
                f"({listed(means.unrated)})"
            )
    has_unrated = any(means.unrated for means in found.values())
    return CLIPS_SET_ASIDE if has_unrated else ALL_WELL


def _to_json(
    options: Namespace, found: dict[str, PoweredMeans], scales: dict[str, Scale]
) -> dict[str, Any]:
    return {
        "predictions": options.predictions,
        "ratings": options.ratings,
        "aspects": {
            aspect: {
                "scale": scales[aspect].to_json(),
                "level": means.level,
                "population": means.population,
                "design": means.design,
                "correlation_within_systems": nan_to_none(means.correlation),
                "predictions_help": means.helps,
                "notes": list(means.notes),
                "means": nan_to_none(means.means),
                "differences": nan_to_none(means.differences),
            }
            for aspect, means in found.items()
        },
    }


def _table_of_systems(title: str, columns: Sequence[str]) -> LiteralTable:
    """A table without rows, with a column of systems and columns of numbers."""
    table = LiteralTable(
        title=Text(title),
        pad_edge=False,
        importance=("powered", "alone", "rated", "worth"),
        elsewhere="-o FILE has them",
    )
    table.add_column("system", overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _means_table(aspect: str, found: PoweredMeans, scale: Scale) -> LiteralTable:
    of_what = {
        "system": "clips of a system in general",
        "clips": "exactly the predicted clips",
    }
    title = (
        f"{aspect} on {scale}: means of {of_what[found.population]}, "
        f"{found.level * 100:g} % intervals"
    )
    table = _table_of_systems(title, ("rated", "ratings", "alone", "powered", "worth"))
    for row in found.means.to_dict("records"):
        if row["level"] == "corpus":
            table.add_section()
        table.add_row(
            row["system"] or "all clips",
            f"{row['rated_clips']}/{row['clips']}",
            str(row["ratings"]),
            _with_interval(row, "human"),
            _with_interval(row, "powered"),
            _count(row["effective_ratings"]),
        )
    table.caption = Text(
        "rated: clips, of all; alone: from the ratings; powered: with the predictions; "
        "worth: how many ratings alone would be as sharp"
    )
    return table


def _with_interval(row: dict[str, Any], name: str) -> str:
    if row[name] != row[name]:
        return "-"
    text = f"{row[name]:.2f}"
    low = row[f"{name}_low"]
    if low == low:
        text += f" [{low:.2f}, {row[f'{name}_high']:.2f}]"
    return text


def _count(value: float) -> str:
    return f"{value:.0f}" if value == value else "-"


def _show_differences(aspect: str, found: PoweredMeans) -> None:
    differences = found.differences
    if len(differences) == 0:
        return
    n_human = int((differences["human_p"] <= 1 - found.level).sum())
    n_powered = int((differences["powered_p"] <= 1 - found.level).sum())
    if len(differences) > _MOST_DIFFERENCES:
        say(
            f"{aspect}: of {len(differences)} differences between systems, {n_powered} "
            f"are beyond chance with predictions, {n_human} from ratings alone (Holm); "
            "--differences FILE lists them, --compare names fewer"
        )
        return
    table = LiteralTable(
        title=Text(f"{aspect}: differences"),
        pad_edge=False,
        names=2,
        together=2,
        importance=("powered",),
        elsewhere="--differences FILE has them",
    )
    for name in ("system", "minus"):
        table.add_column(name, overflow="fold")
    for name in ("alone", "p", "powered", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in differences.to_dict("records"):
        table.add_row(
            row["first"],
            row["second"],
            _with_interval(row, "human"),
            _p_text(row["human_p"]),
            _with_interval(row, "powered"),
            _p_text(row["powered_p"]),
        )
    Screen().print(table)


def _p_text(p_value: float) -> str:
    if p_value != p_value:
        return "-"
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


# ---- the plan


def _plan(options: Namespace, data: RateLessData) -> int:
    from meta.powered_means.rating_plan import rating_plan

    if options.compare:
        data = data.only_systems(options.compare)
    clips = data.for_plan()
    scale = data.scales[data.aspects[0]]
    interval_level = _or(options.interval_level, 0.9)
    if not 0 < interval_level < 1:
        raise UsageError(f"A level lies between 0 and 1; got {interval_level:g}.")
    pilot = None
    if options.ratings:
        if len(data.aspects) > 1:
            raise UsageError(
                "Name one aspect to plan by the ratings of (--aspects "
                f"{data.aspects[0]}); there are {some(data.aspects)}."
            )
        pilot = data.sample(data.aspects[0])
    deviation = data.residual_deviation(interval_level)
    settings = _plan_settings(options, scale)
    plan = rating_plan(clips, settings, residual_deviation=deviation, pilot=pilot)

    # No predictions: who rates shall not see them.
    names = ["clip_id", "audio", "system_id", "prompt"]
    chosen = clips.iloc[plan.rows][names]
    filled = [name for name in names if (chosen[name] != "").any()]
    listing = chosen[filled].reset_index(drop=True)
    put_table(listing, options.out)
    if options.json:
        facts = {"plan": nan_to_none(listing), "systems": nan_to_none(plan.systems)}
        put_json(facts, options.json, "rate_less")
    Screen().print(_plan_table(plan, settings, scale))
    n_left = settings.budget - len(plan.rows) * settings.ratings_per_clip
    if n_left >= settings.ratings_per_clip:
        say(f"{n_left} of {settings.budget} ratings are left over: no clip is without")
    if plan.same_prompts:
        say("the same prompts for every system, so that what they share cancels")
    say(_assumptions(settings, pilot is not None, deviation is not None))
    return ALL_WELL


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _plan_settings(options: Namespace, scale: Scale) -> PlanSettings:
    from meta.powered_means.rating_plan import RATER_DEVIATION, PlanSettings

    # Known of ratings on 1..5.
    usual = RATER_DEVIATION * scale.width / 4
    return PlanSettings(
        budget=options.budget,
        ratings_per_clip=_or(options.ratings_per_clip, 1),
        allocation=_or(options.allocate, "systems"),
        rater_deviation=_or(options.rater_deviation, usual),
        level=options.level,
        seed=_or(options.seed, 0),
    )


def _assumptions(settings: PlanSettings, has_pilot: bool, has_intervals: bool) -> str:
    from meta.powered_means.rating_plan import CORRELATION

    draw = "drawn at random, evenly over the predictions of each system; rate them all"
    if has_pilot:
        return f"{draw}; half-widths from the scatter of the ratings that there are"
    source = (
        "the intervals of the predictions"
        if has_intervals
        else f"a correlation of {CORRELATION} within systems, which is assumed"
    )
    return (
        f"{draw}; half-widths from {source}, and a deviation of "
        f"{settings.rater_deviation:g} points between ratings of a clip"
    )


def _plan_table(plan: RatingPlan, settings: PlanSettings, scale: Scale) -> LiteralTable:
    title = (
        f"half-widths of {settings.level * 100:g} % intervals to expect, in points of "
        f"{scale}"
    )
    table = _table_of_systems(
        title, ("clips", "to rate", "ratings", "alone", "powered")
    )
    for row in plan.systems.to_dict("records"):
        if row["level"] == "corpus":
            table.add_section()
        table.add_row(
            row["system"] or "all clips",
            str(row["clips"]),
            str(row["to_rate"]),
            str(row["ratings"]),
            f"± {row['human_half_width']:.2f}",
            f"± {row['powered_half_width']:.2f}",
        )
    return table


def main() -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main))
