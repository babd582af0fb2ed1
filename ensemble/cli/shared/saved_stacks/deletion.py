"""``evaluate_mos --deletion``: options and output of the deletion test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from base_models.errors import UsageError
from base_models.files import nan_to_none
from ensemble.cli.shared.clip_tables.clip_options import clip_reading
from ensemble.cli.shared.exit_codes import Screen, say, say_set_aside
from ensemble.cli.shared.options import Options
from ensemble.cli.shared.output.output_files import check_results, put_json, put_table
from ensemble.cli.shared.saved_stacks.stacks import add_stack_options, load_stack

if TYPE_CHECKING:
    from ensemble.attention.deletion_test import Deletion


def add_deletion_options(parser: Options) -> None:
    """Add the options that only ``--deletion`` reads."""
    group = parser.group("deletion test")
    add = group.add_argument
    add(
        "--deletion",
        action="store_true",
        help="instead: do a stack's scores depend on what its models attend to?",
    )
    add(
        "--clips",
        type=str,
        metavar="TABLE",
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
    add_stack_options(group)


def refuse_deletion_options(options: Namespace) -> None:
    """Refuse options that would be ignored, because only ``--deletion`` reads them."""
    for name in ("clips", "share", "draws", "stack"):
        if options[name] is not None:
            raise UsageError(
                f"--{name} is for --deletion; leave it out, or name a table with "
                "--deletion --clips."
            )


def run_deletion(options: Namespace) -> int:
    """Test a stack on a clip table and write the results; returns the exit code."""
    _check_options(options)
    check_results(options, inputs=(options.clips,))
    from base_models.clips.read_clips import read_clips
    from ensemble.attention.deletion_test import deletion_test
    from ensemble.prediction_files.read_predictions import clips_of_split
    from ensemble.training.progress import encoding

    clips = clips_of_split(
        read_clips(options.clips, labels=False, options=clip_reading(options)),
        options.split,
    )
    stack, store = load_stack(options)
    # What is not given is left to the defaults of the test.
    names = ("share", "draws", "seed", "level")
    settings = {name: options[name] for name in names if options[name] is not None}
    with encoding() as on_embed:
        result = deletion_test(stack, clips, store, **settings, on_progress=on_embed)

    for sentence in result.sentences():
        Screen().paragraph(sentence)
    # A model may attend otherwise to clips that it has learnt by heart.
    if result.trained_on:
        say(
            f"note: {result.trained_on} of {len(clips)} clips were trained on; others "
            "may say otherwise"
        )
    for reason in result.left_out:
        say(f"left out: {reason}")

    if options.out:
        put_table(result.table, options.out)
    if options.json:
        put_json(_to_json(result, options), options.json, "evaluate_mos")
    return say_set_aside(result.set_aside)


def _check_options(options: Namespace) -> None:
    if options.predictions or options.labels or options.aspects or not options.clips:
        raise UsageError(
            "--deletion takes a table with --clips, a stack with --stack, and no "
            "predictions or labels."
        )
    for name in (
        *("ratings", "rating_scale", "scale", "bootstrap", "system_truth"),
        "against",
    ):
        if options[name] is not None:
            option = name.replace("_", "-")
            raise UsageError(
                f"--{option} is for predictions; leave it out of --deletion."
            )


def _to_json(result: Deletion, options: Namespace) -> dict[str, Any]:
    return {
        "clips": options.clips,
        "stack": options.stack,
        "split": options.split,
        "share": result.share,
        "draws": result.draws,
        "seed": options.seed,
        "level": options.level,
        "trained_on": result.trained_on,
        "left_out": result.left_out,
        "set_aside": {clip.clip_id: clip.reason for clip in result.set_aside},
        "deletion": nan_to_none(result.table),
    }
