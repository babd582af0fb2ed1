"""``inspect_stack STACK``: what is inside a stack; ``--push`` shares it.

Loads no weights. Exit code 0 when every file is as it was written, 4 when one is not,
2 when there is no such stack.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from base_models.errors import DamagedArtifact, UsageError
from base_models.files import Artifact
from ensemble.cli.shared.exit_codes import (
    ALL_WELL,
    Screen,
    run_command,
    say,
    say_problem,
)
from ensemble.cli.shared.options import Options
from ensemble.cli.shared.output.output_files import (
    add_result_options,
    check_results,
    put_data,
    put_json,
    put_table,
)
from ensemble.cli.shared.saved_stacks.stacks import add_expected_hash_option
from ensemble.hub.share import stack_folder
from ensemble.hub.stack_contents import stack_contents
from ensemble.screen.tables import LiteralTable
from ensemble.workspace import STACK_ROLE

if TYPE_CHECKING:
    from ensemble.hub.stack_contents import ContainedModel, StackContents

_MEBIBYTE = 2**20
_EXAMPLES = {
    "inspect_stack artifacts/meta/stack-0123456789": "what did my colleague send me?",
    "inspect_stack hub:ada/songs@v2 --json -": "the same of one on a hub, for programs",
    "inspect_stack STACK --card card.md": "its model card, to be read and edited",
    "inspect_stack STACK --push ada/songs --private": "share it, its card with it",
}


def _parser() -> Options:
    parser = Options(
        "inspect_stack",
        "What is inside a stack: aspects, base models, encoders and their licences, "
        "what it was fitted on, and whether every file is as it was written. No "
        "weights are loaded.",
        examples=_EXAMPLES,
    )
    stack = parser.group("stack")
    stack.add_argument(
        "stack",
        type=str,
        metavar="STACK",
        help="folder that fit_meta wrote, or hub:USER/NAME, with @REVISION for a "
        "branch, tag or commit",
    )
    add_expected_hash_option(stack)
    sharing = parser.group("sharing")
    add = sharing.add_argument
    add("--card", type=str, metavar="FILE", help="write its model card, in Markdown")
    add(
        "--push",
        type=str,
        metavar="PLACE",
        help="push the stack and its card to a folder, or to USER/NAME on a hub",
    )
    add(
        "--licence",
        type=str,
        default="",
        metavar="NAME",
        help="licence of the stack for its card, as hubs spell it, such as cc-by-4.0; "
        "those of the encoders stand beside it",
    )
    add(
        "--private",
        action="store_true",
        help="a repository that --push makes is private",
    )
    add_result_options(
        parser.group("output"), "its files with sizes and hashes,", "all that is said"
    )
    return parser


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    check_results(options, inputs=(), others={"--card": options.card})
    if (options.private or options.licence) and not (options.push or options.card):
        raise UsageError("--licence and --private are of --push or --card; add one.")

    folder = stack_folder(options.stack)
    if options.expect_sha256 is not None:
        Artifact(folder, STACK_ROLE).check_root_hash(options.expect_sha256)
    contents = stack_contents(folder)
    _show(contents)
    if options.out:
        import pandas as pd

        files = [vars(file) for file in contents.files]
        put_table(pd.DataFrame(files), options.out)
    if options.json:
        put_json(contents.to_json(), options.json, "inspect_stack")
    for file in contents.damaged:
        say_problem(f"damaged: {file.name}: {file.damage}")
    if contents.damaged:
        return DamagedArtifact.exit_code
    _share(contents, options)
    return ALL_WELL


def _share(contents: StackContents, options: Namespace) -> None:
    """Write the card and push the stack, as far as asked for."""
    from ensemble.hub.model_card import model_card
    from ensemble.hub.share import Sharing, push_stack

    if options.card:
        card = model_card(contents, contents.name, licence=options.licence)
        put_data(card.encode(), options.card)
    if options.push:
        sharing = Sharing(licence=options.licence, private=options.private)
        pushed = push_stack(contents.folder, options.push, sharing=sharing)
        at = f", commit {pushed.revision}" if pushed.revision else ""
        say(f"pushed to {pushed.place}{at}")


def _show(contents: StackContents) -> None:
    screen = Screen()
    screen.print(_fact_table(contents))
    screen.print(_model_table(contents.models))
    if contents.encoders:
        screen.print(_encoder_table(contents))


def _fact_table(contents: StackContents) -> LiteralTable:
    table = LiteralTable(show_header=False, box=None, padding=(0, 1, 0, 0))
    table.add_column("fact", no_wrap=True)
    table.add_column("value", overflow="fold")
    for fact, value in _facts(contents):
        table.add_row(fact, value)
    table.add_row("", "")
    return table


def _facts(contents: StackContents) -> Iterator[tuple[str, str]]:
    yield "stack", contents.folder
    yield "predicts", "; ".join(_aspects(contents))
    yield "learner", contents.learner
    source = f" of {contents.source}" if contents.source else ""
    demo = " (the demo corpus: its ratings are made up)" if contents.demo else ""
    yield "fitted on", f"{contents.n_clips} clips{source}{demo}"
    yield "measured", contents.verdict or "no: it has no report"
    if not contents.scores_audio:
        yield (
            "scores",
            "no audio: its base models are stored predictions; predict_mos "
            "--predictions takes new ones of the same models",
        )
    version = contents.version or "of an older version"
    size = f"{contents.size / _MEBIBYTE:.1f} MiB"
    yield "files", f"{len(contents.files)}, {size}, written by stackedmos {version}"
    yield "identity", contents.identity
    yield "sha256", contents.sha256


def _aspects(contents: StackContents) -> Iterator[str]:
    for aspect, (low, high) in contents.scales.items():
        against = ", against its prompt" if aspect in contents.needs_text else ""
        yield f"{aspect} from {low:g} to {high:g}{against}"


def _model_table(models: Sequence[ContainedModel]) -> LiteralTable:
    table = LiteralTable(
        names=1,
        box=None,
        padding=(0, 1, 0, 0),
        importance=["kind", "encoders", "preset", "clips", "MiB"],
        elsewhere="--json FILE has them",
    )
    for name in ("base model", "kind", "preset", "encoders"):
        table.add_column(name, overflow="fold")
    for name in ("clips", "MiB"):
        table.add_column(name, justify="right", no_wrap=True)
    for model in models:
        table.add_row(
            model.name,
            model.kind,
            model.preset,
            " + ".join(model.encoders),
            str(model.n_clips or ""),
            f"{model.size / _MEBIBYTE:.1f}",
        )
    return table


def _encoder_table(contents: StackContents) -> LiteralTable:
    table = LiteralTable(
        names=1,
        box=None,
        padding=(0, 1, 0, 0),
        importance=["licence", "commercial", "weights from", "models"],
        elsewhere="--json FILE has them",
    )
    for name in ("encoder", "licence", "commercial", "weights from"):
        table.add_column(name, overflow="fold")
    table.add_column("models", justify="right", no_wrap=True)
    for encoder in contents.encoders:
        table.add_row(
            encoder.name,
            encoder.licence,
            "yes" if encoder.commercial else "not known to be",
            encoder.source,
            str(len(encoder.models)),
        )
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main, argv))
