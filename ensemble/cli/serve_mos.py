"""``serve_mos [STACK]``: local pages that score clips and take ratings; a JSON API.

Exit code 0 when it is stopped by Ctrl-C or SIGTERM, 2 when it cannot start.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import tempfile
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from jsonargparse import Namespace

from base_models.errors import UsageError
from base_models.optional_libraries import require
from ensemble.cli.shared.exit_codes import ALL_WELL, run_command, say
from ensemble.cli.shared.options import (
    Options,
    add_artifacts_option,
    add_device_option,
    add_precision_option,
    add_weights_options,
)
from ensemble.cli.shared.output.output_files import (
    add_json_option,
    check_outputs,
    put_json,
)
from ensemble.cli.shared.saved_stacks.stacks import (
    add_expected_hash_option,
    load_stack,
)
from ensemble.cli.shared.serve.rating_page_options import (
    add_rating_page_options,
    export_ratings,
    rating_settings,
    say_rating,
)
from ensemble.screen.streams import put_line
from ensemble.workspace import Workspace

if TYPE_CHECKING:
    from ensemble.server.scoring.intake import Intake
    from ensemble.server.settings import ServerSettings

_TOKEN_VARIABLE = "STACKEDMOS_TOKEN"
_NEW = "new"
_MOST_STORED = 2**30
"""Bytes of embeddings of uploads, beyond which they are made anew."""
_EXAMPLES = {
    "serve_mos": "the stack of the last fit_meta, on a page of this machine",
    "serve_mos shared/stack --port 0 --open": "another stack; open the browser",
    "serve_mos --host 0.0.0.0 --token new": "for others in your network, with a token",
    "serve_mos --rate plan.csv --raters r1 r2": (
        "a listening test of the clips that rate_less chose"
    ),
    "serve_mos --export-ratings ratings.sqlite -o ratings.csv": (
        "its ratings, as rate_less and fit_meta read them"
    ),
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
    add_expected_hash_option(stack)
    add_weights_options(stack)
    add_device_option(stack)
    add_precision_option(stack, default="as in training")
    add_artifacts_option(stack, "what fit_meta wrote, where embeddings are kept, too")
    _add_address_options(parser)
    _add_limit_options(parser)
    add_rating_page_options(parser)
    add_json_option(parser.group("output"), "the address and what is served, at start,")
    return parser


def _add_address_options(parser: Options) -> None:
    """Add the options that say where the server listens, and whom it answers."""
    add = parser.add("address")
    add(
        "--host",
        type=str,
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on; 0.0.0.0: all of this machine, for others in its "
        "network too",
    )
    add("--port", type=int, default=8765, help="port to listen on; 0: a free one")
    add(
        "--token",
        type=str,
        metavar="WORD",
        help="what every request must show, as a header or at a login; new: one is "
        f"made and printed; default: that in the variable {_TOKEN_VARIABLE}, if any",
    )
    add(
        "--without-token",
        action="store_true",
        help="let everybody in who can reach --host, without a token",
    )
    add(
        "--name",
        nargs="+",
        metavar="NAME",
        help="names, beside addresses and that of this machine, under which browsers "
        "may ask for it",
    )
    add("--open", action="store_true", help="open the page in the browser")


def _add_limit_options(parser: Options) -> None:
    """Add the options that say how much one request may ask for."""
    add = parser.add("limits of one request")
    add("--max-megabytes", type=float, default=200, help="size of its files, in MB")
    add("--max-seconds", type=float, default=600, help="length of a clip, in s")
    add("--max-clips", type=int, default=200, help="how many clips it may have")
    add(
        "--max-waiting",
        type=int,
        default=16,
        help="how many requests may wait behind the one that is scored",
    )
    add(
        "--timeout",
        type=float,
        default=600,
        help="seconds from the beginning of an upload to its scores",
    )


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    if options.export_ratings:
        return export_ratings(options)
    check_outputs({"--json": options.json}, inputs=())
    return _serve(options)


def _serve(options: Namespace) -> int:
    # Imported only now: they need an optional library, which --help does not.
    from ensemble.server.application import create_app
    from ensemble.server.run import address_of, listen, run

    settings = _settings(options)
    with contextlib.ExitStack() as stack:
        rating = rating_settings(options)
        if rating is not None:
            stack.callback(rating.close)
        listening = stack.enter_context(listen(settings))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="serve_mos-"))
        intake = None
        # Whoever rates must not see scores, unless a stack is named on purpose.
        if options.stack or rating is None:
            intake = _intake(options, settings, folder=Path(folder))
        app = create_app(settings, rating=rating, intake=intake)
        _say_address(options, settings, address_of(listening))
        if rating is not None:
            say_rating(rating, address_of(listening), settings.token)
        queue = None if intake is None else intake.queue
        run(app, listening, queue, say=say)
    say("stopped")
    return ALL_WELL


def _settings(options: Namespace) -> ServerSettings:
    from ensemble.server.settings import Limits, ServerSettings

    token = options.token
    if token is None:
        token = os.environ.get(_TOKEN_VARIABLE, "")
    if token == _NEW:
        token = secrets.token_urlsafe(16)
    settings = ServerSettings(
        options.host,
        options.port,
        token=token,
        names=tuple(options.name or ()),
        limits=Limits(
            megabytes=options.max_megabytes,
            seconds=options.max_seconds,
            clips=options.max_clips,
            timeout=options.timeout,
            waiting=options.max_waiting,
        ),
    )
    if token and options.without_token:
        raise UsageError("--token and --without-token exclude each other; drop one.")
    if not (settings.is_local or token or options.without_token):
        raise UsageError(
            f"--host {options.host} lets other machines in; name a --token (new makes "
            "one), or let everybody in with --without-token."
        )
    return settings


def _intake(options: Namespace, settings: ServerSettings, folder: Path) -> Intake:
    """Load the stack, and make the queue before it."""
    require("torch")
    from ensemble.server.scoring.finished_uploads import Uploads
    from ensemble.server.scoring.intake import Intake
    from ensemble.server.scoring.scorer import Scorer, refuse_without_base_models
    from ensemble.server.scoring.upload_store import UploadStore
    from ensemble.server.work_queue import WorkQueue

    stack, kept = load_stack(options)
    refuse_without_base_models(stack)
    store = UploadStore(kept, folder / "embeddings", most_bytes=_MOST_STORED)
    uploads = Uploads(folder / "uploads")
    uploads.root.mkdir()
    name = Path(options.stack).resolve().name if options.stack else _name(options)
    scorer = Scorer(stack, store, name)
    queue = WorkQueue(settings.limits.waiting)
    return Intake(scorer, queue, uploads=uploads, limits=settings.limits)


def _name(options: Namespace) -> str:
    """The name of the folder of the last stack."""
    pointer = Workspace(Path(options.artifacts)).latest("stack", "fit_meta")
    return Path(pointer["folder"]).name


def _say_address(options: Namespace, settings: ServerSettings, address: str) -> None:
    entry = address
    if settings.token:
        entry += "?" + urlencode({"token": settings.token})
        say("with the token, which its address sets in a browser once:")
    put_line(entry)
    if not settings.is_local:
        port = urlsplit(address).port
        who = "with the token" if settings.token else "without a token"
        say(f"other machines ask for http://{socket.gethostname()}:{port}/, {who}")
        say("note: nothing is encrypted on the way; for that, put a proxy before it")
    say("Ctrl-C stops it")
    if options.json:
        facts = {
            "address": address,
            "pid": os.getpid(),
            "asks_for_token": bool(settings.token),
        }
        put_json(facts, options.json, "serve_mos")
    if options.open:
        webbrowser.open(entry)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main, argv))
