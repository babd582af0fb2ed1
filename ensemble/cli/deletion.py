"""evaluate_mos --deletion: options and output of the deletion test."""

from __future__ import annotations

from pathlib import Path

from base_models.errors import UsageError
from base_models.files import atomic_write, write_json
from ensemble.cli.common import say, say_set_aside
from ensemble.cli.options import Options
from ensemble.cli.stacks import add_stack_options, load_stack


def add_deletion_options(parser: Options) -> None:
    """Options that only --deletion reads."""
    add = parser.add_argument
    add("--deletion", action="store_true", help="instead: do a stack's scores depend on what its models attend to?")
    add("--clips", type=str, help="clip table or MusicEval folder of that test; labels are not needed")
    add("--share", type=float, default=0.2, help="of the seconds (mi) or words (ta) that is removed")
    add("--draws", type=int, default=10, help="random removals per clip to compare with")
    add_stack_options(parser)


def run_deletion(options) -> int:
    """Test a stack on a clip table, and say what came out."""
    if options.predictions or options.labels or options.aspects or not options.clips:
        raise UsageError("--deletion takes a table with --clips, a stack with --stack, and no predictions or labels.")
    from base_models.clips import read_clips
    from ensemble.deletion import deletion_test
    from ensemble.prediction_files import of_split
    from ensemble.progress import encoding

    clips = of_split(read_clips(options.clips, labels=False), options.split)
    stack, store = load_stack(options)
    settings = (options.share, options.draws, options.bootstrap, options.seed, options.level)
    with encoding() as on_embed:
        found = deletion_test(stack, clips, store, *settings, on_embed)
    for sentence in found.sentences():
        print(sentence)
    for reason in found.left_out:
        say(f"left out: {reason}")
    if options.csv:
        atomic_write(options.csv, found.table.to_csv(index=False).encode())
    if options.json:
        names = ("share", "draws", "bootstrap", "seed", "level")
        facts = {"clips": options.clips, "stack": options.stack, "split": options.split, "left_out": found.left_out}
        facts |= dict(zip(names, settings, strict=True))
        facts |= {"set_aside": {clip.clip_id: clip.reason for clip in found.set_aside}}
        known = found.table.astype(object).where(found.table.notna(), None)
        write_json(Path(options.json), facts | {"deletion": known.to_dict("records")})
    return say_set_aside(found.set_aside)
