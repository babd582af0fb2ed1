"""predict_mos: the stack's score for each clip and aspect, with an interval that its errors on other clips taught."""

from __future__ import annotations

from collections.abc import Sequence

from base_models.errors import UsageError
from ensemble.cli.shared.engines import add_engine_option
from ensemble.cli.shared.exit_codes import run, say, say_set_aside
from ensemble.cli.shared.explanations import explain, make_folder
from ensemble.cli.shared.options import Options
from ensemble.cli.shared.score_output import output_format, put_scores
from ensemble.cli.shared.stacks import add_stack_options, load_stack, stack_source

DEMO = "demo corpus: this stack learnt synthetic music and simulated raters; its scores say nothing about real music"


def _parser() -> Options:
    parser = Options("predict_mos", __doc__)
    add = parser.add_argument
    add("audio", nargs="*", help="audio files, or folders of them")
    add("--prompt", type=str, help="the prompt of all these files")
    add(
        "--clips",
        type=str,
        help="instead: a clip table or MusicEval folder, as fit_base --data reads",
    )
    add(
        "--predictions",
        nargs="+",
        metavar="FILE",
        help="instead: what the base models predict, as fit_meta reads it",
    )
    add(
        "--out",
        type=str,
        help="file to write; its suffix (.csv .jsonl .parquet .txt) is the format",
    )
    add(
        "--format",
        type=str,
        help="csv, jsonl, parquet or answer (the challenge's answer.txt)",
    )
    add("--level", type=float, default=0.9, help="coverage of the interval")
    add(
        "--explain",
        type=str,
        help="also write to this folder, per clip, what each base model attended to",
    )
    add_stack_options(parser)
    add_engine_option(parser)
    return parser


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    given = options.audio, options.clips, options.predictions
    if sum(map(bool, given)) != 1:
        raise UsageError(
            "Name audio files, or a table with --clips, or --predictions; one of the three."
        )
    if options.prompt and not options.audio:
        raise UsageError(
            "--prompt is for audio files; a table brings its own prompts, and predictions need none."
        )
    if options.explain is not None and options.predictions:
        raise UsageError(
            "--explain looks into base models; --predictions has only what they said."
        )
    form = output_format(options.out, options.format)
    if options.explain is not None:
        make_folder(options.explain)
    scores, explained = (
        _of_predictions(options) if options.predictions else _of_clips(options, form)
    )
    put_scores(scores, options.out, form, options.level)
    if options.explain:
        explained()
    return say_set_aside(scores.set_aside)


def _of_predictions(options):
    from ensemble.scoring.score_predictions import score_predictions

    stack, _ = load_stack(options)
    scores, notes = score_predictions(stack, options.predictions, options.level)
    if stack.demo_:
        say(DEMO)
    for note in notes:
        say(f"note: {note}")
    return scores, None


def _of_clips(options, form: str | None):
    from base_models.clips.read_clips import read_clips
    from ensemble.scoring.audio_files import clips_from_files, length_note
    from ensemble.scoring.score_clips import score_clips
    from ensemble.training.progress import encoding

    table = options.clips
    clips = (
        read_clips(table, labels=False)
        if table
        else clips_from_files(options.audio, options.prompt)
    )
    source = stack_source(options)
    stack, store = load_stack(options)
    with encoding() as on_embed:
        scores = score_clips(
            stack, clips, store, options.level, on_embed, options.engine, source
        )
    if scores.left_out and form == "answer":
        raise UsageError(
            f"The answer format needs every aspect, and {', '.join(scores.left_out)} is judged against the prompt; "
            "pass --prompt, or a table with prompts."
        )
    if stack.demo_:
        say(DEMO)
    if scores.left_out:
        say(
            f"no prompt: {', '.join(scores.left_out)} left out; pass --prompt, or a table with prompts"
        )
    if note := length_note(scores.frame["audio"].tolist()):
        say(f"note: {note}")
    return scores, lambda: explain(options.explain, stack, clips, store, scores)


def main() -> None:
    """Console entry point."""
    raise SystemExit(run(_main))
