"""evaluate_mos --deletion: options and output of the deletion test."""

from __future__ import annotations

from pathlib import Path

from base_models.errors import UsageError
from base_models.files import atomic_write, write_json
from ensemble.cli.shared.exit_codes import say, say_set_aside
from ensemble.cli.shared.options import Options
from ensemble.cli.shared.stacks import add_stack_options, load_stack


def add_deletion_options(parser: Options) -> None:
    """Options that only --deletion reads."""
    add = parser.add_argument
    add(
        "--deletion",
        action="store_true",
        help="instead: do a stack's scores depend on what its models attend to?",
    )
    add(
        "--clips",
        type=str,
        help="clip table or MusicEval folder of that test; labels are not needed",
    )
    add(
        "--share",
        type=float,
        help="of the seconds (mi) or words (ta) that is removed; default: 0.2",
    )
    add(
        "--draws",
        type=int,
        help="random removals per clip to compare with; default: 10",
    )
    add_stack_options(parser)


def refuse_deletion_options(options) -> None:
    """Without --deletion, the options that only it reads would be ignored."""
    given = [
        name
        for name in ("clips", "share", "draws", "stack")
        if getattr(options, name) is not None
    ]
    if given:
        raise UsageError(
            f"--{given[0]} is for --deletion; leave it out, or name a table with --deletion --clips."
        )


def run_deletion(options) -> int:
    """Test a stack on a clip table, and say what came out."""
    if options.predictions or options.labels or options.aspects or not options.clips:
        raise UsageError(
            "--deletion takes a table with --clips, a stack with --stack, and no predictions or labels."
        )
    if (
        options.ratings is not None
        or options.rating_scale is not None
        or options.bootstrap is not None
    ):
        raise UsageError(
            "--ratings, --rating-scale and --bootstrap are for predictions; leave them out of --deletion."
        )
    from base_models.clips.read_clips import read_clips
    from ensemble.attention.deletion_test import deletion_test
    from ensemble.prediction_files.one_tool import of_split
    from ensemble.training.progress import encoding

    clips = of_split(read_clips(options.clips, labels=False), options.split)
    stack, store = load_stack(options)
    numbers = {
        "share": options.share,
        "draws": options.draws,
        "seed": options.seed,
        "level": options.level,
    }
    settings = {name: number for name, number in numbers.items() if number is not None}
    with encoding() as on_embed:
        found = deletion_test(stack, clips, store, **settings, on_progress=on_embed)
    for sentence in found.sentences():
        print(sentence)
    if found.trained_on:
        say(
            f"note: {found.trained_on} of {len(clips)} clips were trained on; others may say otherwise"
        )
    for reason in found.left_out:
        say(f"left out: {reason}")
    if options.csv:
        atomic_write(options.csv, found.table.to_csv(index=False).encode())
    if options.json:
        facts = {
            "clips": options.clips,
            "stack": options.stack,
            "split": options.split,
            "left_out": found.left_out,
        }
        facts |= numbers | {
            "share": found.share,
            "draws": found.draws,
            "trained_on": found.trained_on,
        }
        facts |= {"set_aside": {clip.clip_id: clip.reason for clip in found.set_aside}}
        known = found.table.astype(object).where(found.table.notna(), None)
        write_json(Path(options.json), facts | {"deletion": known.to_dict("records")})
    return say_set_aside(found.set_aside)
