"""``predict_mos FILE…``: the score of a stack for each clip and aspect.

Exit code 0 when all is well, 3 when some clips were set aside or lack the score of an
aspect for want of a prompt, 2 when an option cannot be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from base_models.errors import UsageError, some
from ensemble.cli.shared.clip_tables.clip_options import (
    add_table_options,
    clip_reading,
    refuse_table_options,
)
from ensemble.cli.shared.clip_tables.problem_list import write_listed
from ensemble.cli.shared.engines import add_engine_option
from ensemble.cli.shared.exit_codes import (
    run_command,
    say,
    say_notes,
    say_set_aside,
    say_without_prompt,
)
from ensemble.cli.shared.file_names import audio_names
from ensemble.cli.shared.options import (
    PREDICTION_WORDS,
    Options,
    add_predictor_scales_option,
)
from ensemble.cli.shared.output.eval_list import (
    ANSWER_FORMATS,
    add_eval_list_option,
    check_listed,
    check_scored,
)
from ensemble.cli.shared.output.output_files import (
    STDOUT,
    add_json_option,
    check_outputs,
)
from ensemble.cli.shared.output.provenance import provenance_of
from ensemble.cli.shared.output.report_options import (
    add_report_options,
    check_report_options,
)
from ensemble.cli.shared.output.score_notes import (
    say_about_clips,
    say_disagreement,
    say_systems,
)
from ensemble.cli.shared.output.score_output import (
    output_format,
    put_distributions,
    put_facts,
    put_scores,
    say_audio,
    say_range,
)
from ensemble.cli.shared.output.score_record import (
    record_file,
    score_record,
    scored_file,
)
from ensemble.cli.shared.pairs.best_of_command import keep_best, put_paths
from ensemble.cli.shared.pairs.pair_command import compare_pairs_of
from ensemble.cli.shared.pairs.pair_options import (
    PATHS,
    add_pair_options,
    check_pair_options,
)
from ensemble.cli.shared.saved_stacks.answers import put_answer
from ensemble.cli.shared.saved_stacks.explanations import (
    draw_over_time,
    explain,
    make_folder,
)
from ensemble.cli.shared.saved_stacks.scoring_runs import (
    ScoringRun,
    add_run_options,
    check_run_options,
    put_shard,
    scorer,
)
from ensemble.cli.shared.saved_stacks.stack_inputs import (
    cross_fitted_stack,
    read_predictions,
)
from ensemble.cli.shared.saved_stacks.stacks import (
    add_stack_options,
    chosen_folder,
    load_stack,
    stack_source,
)
from ensemble.cli.shared.saved_stacks.windows import (
    add_over_time_option,
    add_windows_option,
    check_windows,
    put_over_time,
    score_with,
)
from ensemble.engine import LOCAL
from ensemble.prediction_files.prediction_word import PredictionFile
from ensemble.scoring.demo_note import DEMO_NOTE

if TYPE_CHECKING:
    from ensemble.formats import Scores
    from ensemble.reporting.section import Provenance
    from ensemble.scoring.input_rows import InputRows
    from ensemble.scoring.score_windows import WindowedScores

_EXAMPLES = {
    'predict_mos song.wav --prompt "slow piano over rain"': "one clip",
    'predict_mos "clips/*.wav" -o scores.csv --explain why': (
        "many, into a table; and what the scores rest on, in the folder why"
    ),
    "predict_mos --clips clips.csv --report report.html": (
        "a page for people: which system is best, which clips to listen to"
    ),
    "predict_mos --predictions utmos.csv my=new.csv -o -": (
        "from other tools' predictions, as csv into a pipe"
    ),
    "predict_mos --pairs pairs.csv -o preferred.csv": (
        "which of two clips of a prompt is preferred, and how surely"
    ),
    "predict_mos --clips songs.csv --best-of 1 --format paths -o best.txt": (
        "the best candidate of each prompt, a file name a line"
    ),
}


def _parser() -> Options:
    parser = Options(
        "predict_mos",
        "The stack's score for each clip and aspect, with an interval learnt from its "
        "errors on other clips. A clip without a prompt has no score of the aspects "
        "that are judged against it (an empty cell; exit code 3). A clip unlike those "
        "that the stack learnt from (silence, noise, another domain) is marked in "
        "column out_of_range, and its interval widened.",
        examples=_EXAMPLES,
    )
    _add_clip_options(parser)
    _add_uncertainty_options(parser)
    add_pair_options(parser)
    _add_output_options(parser)
    stack = parser.group("stack and machine")
    add_stack_options(stack)
    add_engine_option(stack)
    add_run_options(stack)
    return parser


def _add_clip_options(parser: Options) -> None:
    """Add the options that say what is scored."""
    clips = parser.group("clips")
    add = clips.add_argument
    add(
        "audio",
        nargs="*",
        metavar="AUDIO",
        help="audio files, folders of them, or patterns such as 'wav/*.wav'; -: read "
        "their names from standard input, one a line",
    )
    add("--prompt", type=str, metavar="TEXT", help="the prompt of all these files")
    add(
        "--clips",
        type=str,
        metavar="TABLE",
        help="instead: a clip table or MusicEval folder, as fit_base --data reads, or "
        "a folder of audio",
    )
    add_table_options(clips, "the table of --clips")
    add(
        "--predictions",
        nargs="+",
        metavar="FILE",
        help="what the base models predict: alone, or beside clips for those models of "
        "a stack that have no weights in it; each from the column and on the scale of "
        f"the fit, unless others are named. {PREDICTION_WORDS}",
    )
    add_predictor_scales_option(clips)
    add_windows_option(clips)


def _add_uncertainty_options(parser: Options) -> None:
    """Add the options that say what stands beside a score."""
    add = parser.add("intervals")
    add("--level", type=float, default=0.9, help="coverage, between 0 and 1")
    add(
        "--by-system",
        action="store_true",
        help="with --clips: systems with enough rated clips in fit_meta get intervals "
        "of their own",
    )
    add(
        "--cross-fit",
        action="store_true",
        help="predict each clip by learners that had no rating of its system, also "
        "clips that the stack was fitted on: for rate_less with the same ratings",
    )
    add(
        "--systems",
        type=str,
        metavar="TABLE",
        help="with --cross-fit and --predictions alone: names the system of every "
        "clip; default: the first file of predictions",
    )


def _add_output_options(parser: Options) -> None:
    """Add the options that name files to write."""
    output = parser.group("output")
    add = output.add_argument
    add(
        "-o",
        "--out",
        type=str,
        metavar="FILE",
        help="file to write; its suffix (.csv .jsonl .parquet .txt .zip) is the "
        "format; -: standard output, as csv; default: a table on a terminal, csv in a "
        "pipe",
    )
    add(
        "--format",
        type=str,
        help="csv, jsonl, parquet or answer (the challenge's answer.txt); default: as "
        "the suffix says",
    )
    add(
        "--distributions",
        type=str,
        metavar="FILE",
        help="also write to this file (.csv .jsonl .parquet), one row per clip: the "
        "probability of each bin of the scale, per aspect",
    )
    add(
        "--members",
        action="store_true",
        help="with --distributions: a row per base model too, named in column model",
    )
    add(
        "--keep",
        nargs="+",
        metavar="COLUMN",
        help="columns of the table that stand beside the scores, as they were written; "
        "all or none; default: system_id prompt",
    )
    add_eval_list_option(
        output,
        "with -o answer.zip: the clips that the challenge asks for; an answer that it "
        "would not take is refused, with all that is wrong",
    )
    add_over_time_option(output)
    add(
        "--explain",
        type=str,
        metavar="FOLDER",
        help="also write to this folder, per clip, what each base model attended to",
    )
    add_report_options(output)
    add_json_option(output, "scores, their scales, and clips set aside")


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    options.audio = audio_names(options.audio)
    check_pair_options(options)
    check_run_options(options)
    if options.pairs:
        check_windows(options)
        return compare_pairs_of(options)
    _check_options(options)
    check_report_options(options)
    # Where nothing can be written is found out before anything is scored.
    form = options.format
    if form != PATHS:
        form = output_format(options.out, form)
    check_outputs(
        {
            "--out": options.out,
            "the record of --out": record_file(options.out, form),
            "--distributions": options.distributions,
            "--over-time": options.over_time,
            "--json": options.json,
            "--report": options.report,
            "--problems": options.problems,
        },
        inputs=(
            *(options.audio or ()),
            options.clips,
            *(options.predictions or ()),
            options.predictor_scales,
        ),
    )
    if options.distributions is not None:
        from ensemble.formats import format_of_distributions

        if options.distributions == STDOUT:
            raise UsageError("--distributions takes a file; got '-'.")
        format_of_distributions(options.distributions)
    if options.explain is not None:
        make_folder(options.explain)

    if options.audio or options.clips:
        return _score_clips(options, form)
    return _score_predictions(options, form)


def _check_options(options: Namespace) -> None:
    if options.audio and options.clips:
        raise UsageError("Name audio files, or a table with --clips; not both.")
    is_audio_given = bool(options.audio or options.clips)
    if not (is_audio_given or options.predictions):
        raise UsageError(
            "Name audio files, or a table with --clips, or --predictions of the base "
            "models."
        )
    if options.prompt and not options.audio:
        raise UsageError(
            "--prompt is for audio files; a table brings its own prompts, and "
            "predictions need none."
        )
    refuse_table_options(options, is_table_given=bool(options.clips))
    if options.by_system and not options.clips:
        raise UsageError(
            "--by-system needs --clips TABLE, whose column system_id names the system "
            "of each clip; a stack of --predictions alone has no such intervals here, "
            "but StackedMOS.predict_interval(…, system_ids=…) gives them."
        )
    _check_cross_fit(options, is_audio_given)
    check_windows(options)
    if options.members and options.distributions is None:
        raise UsageError(
            "--members adds base models to the file of --distributions; name that too."
        )
    # A pattern that matches nothing is said before a stack is looked for.
    PredictionFile.parse_all(options.predictions or ())
    if options.predictor_scales and not options.predictions:
        raise UsageError("--predictor-scales is about --predictions; name such files.")
    if options.explain is not None and not is_audio_given:
        raise UsageError(
            "--explain shows what base models attended to; --predictions holds only "
            "what they predicted."
        )


def _check_cross_fit(options: Namespace, is_audio_given: bool) -> None:
    if options.cross_fit and options.audio:
        raise UsageError(
            "--cross-fit needs the system of every clip; name a table with --clips, "
            "whose column system_id has it."
        )
    if options.cross_fit and options.engine != LOCAL:
        raise UsageError(
            f"--cross-fit runs on this machine alone; leave --engine {options.engine} "
            "out."
        )
    if options.cross_fit and options.explain is not None:
        raise UsageError(
            "--explain is about the learner of all clips; explain without --cross-fit."
        )
    if options.systems and (is_audio_given or not options.cross_fit):
        raise UsageError(
            "--systems names the systems for --cross-fit of --predictions; a table of "
            "--clips brings its own."
        )


def _wanted(options: Namespace) -> str:
    """Whose distributions are asked for, see `meta.score_columns.DISTRIBUTIONS`."""
    if options.distributions is None:
        # The best of many are told by them, and a page shows some.
        is_needed = options.best_of is not None or options.report is not None
        return "stack" if is_needed else "none"
    return "members" if options.members else "stack"


def _score_predictions(options: Namespace, form: str | None) -> int:
    """Score the clips that files of predictions are about."""
    from ensemble.prediction_files.predictor_scales import DeclaredScales
    from ensemble.scoring.input_rows import InputRows
    from ensemble.scoring.score_predictions import (
        read_new_predictions,
        score_predictions,
    )

    stack, _ = load_stack(options)
    declared = DeclaredScales.read(options.predictor_scales)
    new = read_new_predictions(stack, options.predictions, declared)
    rows = InputRows.beside(new.clips["clip_id"].tolist(), options.predictions)
    _check_rows(options, form, rows)
    provenance = _provenance(options, rows)
    scores, notes = score_predictions(
        stack,
        options.predictions,
        options.level,
        distributions=_wanted(options),
        cross_fit=options.cross_fit,
        systems=options.systems,
        new=new,
    )
    scores, more = rows.complete(scores, options.keep)
    if stack.demo_:
        say(DEMO_NOTE)
    say_disagreement(stack, scores)
    say_notes((*notes, *more))
    say_range(scores)

    _put_results(options, scores, form, provenance=provenance)
    put_answer(options, stack, rows.described(scores), provenance)
    return say_set_aside(scores.set_aside, _list_of(options, form))


def _score_clips(options: Namespace, form: str | None) -> int:
    """Score audio files or a clip table."""
    from ensemble.training.progress import encoding

    rows = _read_rows(options)
    _check_rows(options, form, rows)
    clips = rows.clips
    # Before the stack is loaded, since it makes the paths to load from absolute.
    source = stack_source(options)
    stack, store = load_stack(options)
    if not stack.estimators_:
        models = stack.final_estimator_.layout_.models
        raise UsageError(
            "This stack holds no base models: it reads no audio. Pass what "
            f"{some(models)} predict with --predictions FILE..., without clips."
        )
    # Before scoring, which may take hours: another stack may be the last one then.
    provenance = _provenance(options, rows)

    # Imported only now: the stack that is refused above came here without torch.
    from ensemble.scoring.prepared_stack import with_predictions

    if options.cross_fit:
        stack, clips = cross_fitted_stack(stack, clips)
    stack = with_predictions(stack, read_predictions(options, stack, clips))
    run = ScoringRun.of(options, store, source, distributions=_wanted(options))
    if options.shard:
        return put_shard(options, stack, clips, run=run)
    with encoding() as on_embed:
        score = scorer(options, stack, run, on_progress=on_embed)
        scores, windowed = score_with(
            options, stack, clips, score=score, on_progress=on_embed
        )
    scores, notes = rows.complete(scores, options.keep)
    say_notes(notes)
    if windowed is not None:
        windowed = replace(windowed, scores=scores)
    # Aspects judged against a prompt are left out where no clip has one.
    left_out = ", ".join(scores.left_out)
    if left_out and form == "answer":
        raise UsageError(
            f"The answer format needs every aspect, and {left_out} is judged against "
            "the prompt; pass --prompt, or a table with prompts."
        )

    say_about_clips(options, stack, scores, windowed=windowed)
    if options.by_system:
        say_systems(stack, clips, scores.aspects)
    say_range(scores)
    say_audio(scores)

    scores = keep_best(options, stack, clips, scores)
    _put_results(options, scores, form, provenance=provenance, windowed=windowed)
    run.finish()
    put_answer(options, stack, rows.described(scores), provenance)
    if options.explain:
        explain(options.explain, stack, clips, store=store, scores=scores)
    if options.explain and windowed is not None:
        draw_over_time(options.explain, windowed)
    return max(
        say_without_prompt(scores.without_prompt),
        say_set_aside(scores.set_aside, _list_of(options, form)),
    )


def _provenance(options: Namespace, rows: InputRows) -> Provenance:
    return provenance_of(
        "predict_mos",
        scored_file(options),
        stack=chosen_folder(options),
        rows=rows.given,
    )


def _check_rows(options: Namespace, form: str | None, rows: InputRows) -> None:
    """Refuse columns and answers that are not to be had, before anything is scored."""
    rows.keep(options.keep)
    check_listed(options, form, rows.given["clip_id"])


def _read_rows(options: Namespace) -> InputRows:
    """The rows of a table, or of audio files that are named one by one."""
    from ensemble.scoring.audio_files import clips_from_files
    from ensemble.scoring.input_rows import InputRows

    if not options.clips:
        return InputRows.of_clips(clips_from_files(options.audio, options.prompt))
    rows = InputRows.read(options.clips, clip_reading(options))
    say_notes(rows.clips.attrs.get("notes", ()))
    write_listed(rows.problems)
    return rows


def _list_of(options: Namespace, form: str | None) -> str | None:
    """The file that has a row for each clip that was set aside."""
    if options.out == STDOUT or form in (*ANSWER_FORMATS, PATHS):
        return None
    out: str | None = options.out
    return out


def _put_results(
    options: Namespace,
    scores: Scores,
    form: str | None,
    provenance: Provenance,
    windowed: WindowedScores | None = None,
) -> None:
    """Write or print scores, and whatever else is asked for in files."""
    check_scored(options, form or "", scores)
    record = score_record(options, scores, provenance)
    if not put_paths(options, scores):
        put_scores(scores, options.out, form, level=options.level, record=record)
    if options.json:
        put_facts(
            scores,
            options.json,
            level=options.level,
            windowed=windowed,
            record=record,
        )
    if scores.distributions is not None and options.distributions:
        put_distributions(scores.distributions, options.distributions)
    if windowed is not None and options.over_time:
        put_over_time(windowed, options.over_time)


def main() -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main))
