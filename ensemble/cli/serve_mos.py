"""``serve_mos [STACK]``: local pages that score clips and take ratings; a JSON API.

Exit code 0 when it is stopped by Ctrl-C or SIGTERM, 2 when it cannot start.
"""

from __future__ import annotations

from collections.abc import Sequence

from jsonargparse import Namespace

from ensemble.cli.shared.exit_codes import run_command, say
from ensemble.cli.shared.options import (
    Options,
    add_artifacts_option,
    add_device_option,
    add_weights_options,
)
from ensemble.cli.shared.output.output_files import add_json_option, check_outputs
from ensemble.cli.shared.serve.rating_page_options import (
    add_rating_page_options,
    rating_settings,
)

_EXAMPLES = {
    "serve_mos": "the stack of the last fit_meta, on a page of this machine",
    "serve_mos shared/stack --port 9000": "another stack, another port",
    "serve_mos --host 0.0.0.0 --token new": "for others in your network, with a token",
}


def _parser() -> Options:
    parser = Options(
        "serve_mos",
        "A page in your browser that scores clips: drop files, see scores with "
        "intervals, listen, compare, download. Only this machine reaches it unless "
        "--host says otherwise, and it asks no other machine for anything. Programs "
        "use the same by POST /score (described at /api). Ctrl-C stops it.",
        examples=_EXAMPLES,
    )
    stack = parser.group("stack and machine")
    stack.add_argument(
        "stack",
        nargs="?",
        metavar="STACK",
        help="folder of the stack; default: that of the last fit_meta",
    )
    add_weights_options(stack)
    add_device_option(stack)
    add_artifacts_option(stack, "what fit_meta wrote, where embeddings are kept, too")
    _add_address_options(parser)
    add_rating_page_options(parser)
    add_json_option(parser.group("output"), "the address and what is served, at start,")
    return parser


def _add_address_options(parser: Options) -> None:
    """Add the options that say where the server listens, and whom it answers."""
    add = parser.add("address")
    add("--host", type=str, default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=8765, help="port to listen on; 0: a free one")
    add(
        "--token",
        type=str,
        default="",
        metavar="WORD",
        help="what every request must show; new: one is made and printed",
    )


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    check_outputs({"--json": options.json}, inputs=())
    return _serve(options)


def _serve(options: Namespace) -> int:
    from ensemble.server.application import create_app
    from ensemble.server.run import run
    from ensemble.server.settings import ServerSettings

    settings = ServerSettings(options.host, options.port, token=options.token)
    app = create_app(settings, rating=rating_settings(options))
    say(f"http://{settings.host}:{settings.port}/")
    run(app, settings)
    return 0


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main, argv))
