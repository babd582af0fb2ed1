"""predict_mos: the stack's score for each clip and aspect, with the interval of its predicted distribution."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from base_models.errors import UsageError, one_of
from base_models.files import atomic_write
from ensemble.cli.common import Screen, run, say, say_set_aside
from ensemble.cli.options import Options
from ensemble.cli.stacks import add_stack_options, load_stack, score_table

DEMO = (
    "demo corpus: this stack was trained on synthetic music and simulated raters; "
    "its scores say nothing about real music"
)


def _parser() -> Options:
    parser = Options("predict_mos", __doc__)
    add = parser.add_argument
    add("audio", nargs="*", help="audio files, or folders of them")
    add("--prompt", type=str, help="the prompt of all these files")
    add("--clips", type=str, help="instead: a clip table or MusicEval folder, as fit_base --data reads")
    add("--out", type=str, help="file to write; its suffix (.csv .jsonl .parquet .txt) is the format")
    add("--format", type=str, help="csv, jsonl, parquet or answer (the challenge's answer.txt)")
    add("--level", type=float, default=0.9, help="coverage of the interval")
    add("--explain", type=str, help="also write to this folder, per clip, what each base model attended to")
    add_stack_options(parser)
    return parser


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    if bool(options.audio) == bool(options.clips):
        raise UsageError("Name audio files, or a table with --clips; one of the two.")
    if options.clips and options.prompt:
        raise UsageError("--prompt is for audio files; a table brings its own prompts.")
    form = _format(options.out, options.format)
    from base_models.clips import read_clips
    from ensemble.progress import encoding
    from ensemble.scoring import clips_from_files, encode_scores, score_clips

    table = options.clips
    clips = read_clips(table, labels=False) if table else clips_from_files(options.audio, options.prompt)
    stack, store = load_stack(options)
    with encoding() as on_embed:
        scores = score_clips(stack, clips, store, options.level, on_embed)
    if scores.left_out and form == "answer":
        raise UsageError(
            f"The answer format needs every aspect, and {', '.join(scores.left_out)} is judged against the prompt; "
            "pass --prompt, or a table with prompts."
        )
    if stack.demo_:
        say(DEMO)
    if scores.left_out:
        say(f"no prompt: {', '.join(scores.left_out)} left out; pass --prompt, or a table with prompts")
    if options.out:
        atomic_write(options.out, encode_scores(scores, form))
        print(options.out)
    elif form is None and sys.stdout.isatty():
        Screen().print(score_table(scores, options.level))
    else:
        sys.stdout.buffer.write(encode_scores(scores, form or "csv"))
    if options.explain:
        _explain(options.explain, stack, clips, store, scores)
    return say_set_aside(scores.set_aside)


def _explain(folder: str, stack, clips, store, scores) -> None:
    from ensemble.explain import explain_clips

    scored = clips[clips["clip_id"].astype(str).isin(scores.frame["clip_id"])]
    for note in explain_clips(stack, scored, store, folder, scores.aspects):
        say(f"not in {folder}: {note}")
    say(f"what the base models attended to in {len(scored)} clips: {folder}")


def _format(out: str | None, name: str | None) -> str | None:
    """The output format: named, or by the suffix of the file, or None to suit standard output."""
    from ensemble.scoring import FORMATS

    if name:
        return one_of(name, FORMATS, "output format")
    if out is None:
        return None
    by_suffix = {".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet", ".txt": "answer"}
    if Path(out).suffix not in by_suffix:
        raise UsageError(f"{out}: name a .csv, .jsonl, .parquet or .txt file, or pass --format.")
    return by_suffix[Path(out).suffix]


def main() -> None:
    """Console entry point."""
    raise SystemExit(run(_main))
