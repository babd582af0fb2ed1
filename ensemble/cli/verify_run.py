"""``verify_run FOLDER``: prove what was made from its manifest; with ``--rebuild``
train it again from its audio, and compare the bytes.

Exit code 0 when all is as it was written, and made again equal; 3 when something that
was made again differs; 4 when a file was changed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base_models.errors import (
    DamagedArtifact,
    MachineFault,
    StackedMOSError,
    UsageError,
)
from base_models.optional_libraries import require
from ensemble.cli.shared.exit_codes import (
    ALL_WELL,
    CLIPS_SET_ASIDE,
    Screen,
    run_command,
    say,
    say_problem,
)
from ensemble.cli.shared.options import Options
from ensemble.cli.shared.output.list_table import list_table
from ensemble.cli.shared.output.output_files import (
    add_result_options,
    check_results,
    put_json,
    put_table,
)

if TYPE_CHECKING:
    from jsonargparse import Namespace

    from ensemble.training.checks.verified_runs import Verified

_EXAMPLES = {
    "verify_run artifacts": "all that was made: is every file as it was written?",
    "verify_run artifacts/base/dora-s0-0123456789 --rebuild": (
        "train that base model again, and compare the bytes"
    ),
    "verify_run my_stack --json facts.json": "a stack that somebody gave you",
}


def _parser() -> Options:
    parser = Options(
        "verify_run",
        "Prove a run from its manifest: every file is as it was written. With "
        "--rebuild base models are trained again from their audio; on the same machine "
        "the bytes are equal.",
        examples=_EXAMPLES,
    )
    add = parser.add("what is proved")
    add(
        "folder",
        metavar="FOLDER",
        help="of a base model, a stack, a clip table, or an artifacts folder with all "
        "of them",
    )
    add(
        "--rebuild",
        action="store_true",
        help="also train base models again, from the audio of their clip table, in a "
        "temporary folder; exit code 3 where a file differs",
    )
    for kind in ("audio", "text"):
        add(
            f"--{kind}-encoder",
            nargs="+",
            metavar="NAME=FOLDER",
            help=f"with --rebuild: where the weights of {kind} encoders lie; default: "
            "where they lay when the models were trained",
        )
    add_result_options(parser.group("output"), "the list", "the list")
    return parser


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    check_results(options, inputs=())
    from ensemble.training.checks.verified_runs import (
        artifacts_in,
        damaged_pointers,
        is_base_model,
        verified,
    )

    folder = Path(options.folder)
    found = [verified(path) for path in artifacts_in(folder)]
    if options.rebuild and not any(is_base_model(one) for one in found):
        raise UsageError(
            f"{folder} holds no base model; --rebuild trains base models again, in "
            "their artifacts folder."
        )
    pointers = damaged_pointers(folder)
    rows = [_row(one, options) for one in found]
    _show(rows)
    if options.out:
        import pandas as pd

        put_table(pd.DataFrame(rows), options.out)
    if options.json:
        put_json({"artifacts": rows, "pointers": pointers}, options.json, "verify_run")

    for problem in [*pointers, *(one.problem for one in found if one.problem)]:
        say_problem(f"damaged: {problem}")
    for row in rows:
        if row["rebuilt"] not in ("", "equal"):
            say_problem(f"{row['folder']}: {row['rebuilt']}")
    if pointers or any(one.problem for one in found):
        return DamagedArtifact.exit_code
    n_files = sum(one.n_files for one in found)
    say(f"{len(found)} artifacts, {n_files} files: all as they were written")
    is_equal = all(row["rebuilt"] in ("", "equal") for row in rows)
    return ALL_WELL if is_equal else CLIPS_SET_ASIDE


def _row(found: Verified, options: Namespace) -> dict[str, Any]:
    """What is said of one artifact, which is made again where that is asked for."""
    from ensemble.training.checks.verified_runs import is_base_model

    rebuilt = ""
    if options.rebuild and is_base_model(found) and not found.problem:
        rebuilt = _rebuilt(found, options)
    return {
        "folder": str(found.folder),
        "role": found.role,
        "files": found.n_files,
        "manifest": found.problem or "as written",
        "rebuilt": rebuilt,
    }


def _rebuilt(found: Verified, options: Namespace) -> str:
    """Whether a base model that is trained again is equal, and if not, why."""
    from ensemble.training.checks.verified_runs import differing_files

    require("torch")
    say(f"training {found.folder.name} again")
    with tempfile.TemporaryDirectory(prefix="verify_run-") as scratch:
        try:
            differing = differing_files(
                found.folder,
                Path(scratch),
                options.audio_encoder or (),
                options.text_encoder or (),
            )
        except (MachineFault, DamagedArtifact):
            raise
        # What cannot be made again is reported, and the others go on.
        except StackedMOSError as error:
            return f"cannot be made again: {error}"
    return f"differs in {', '.join(differing)}" if differing else "equal"


def _show(rows: Sequence[dict[str, Any]]) -> None:
    table = list_table(
        "",
        {
            "folder": "left",
            "role": "left",
            "files": "right",
            "manifest": "left",
            "rebuilt": "left",
        },
        ("manifest", "rebuilt"),
    )
    for row in rows:
        is_damaged = row["manifest"] != "as written"
        differs = row["rebuilt"] not in ("", "equal")
        table.add_row(
            row["folder"],
            row["role"],
            str(row["files"]),
            "DAMAGED" if is_damaged else "as written",
            "DIFFERS" if differs else row["rebuilt"],
        )
    Screen().print(table)


def main() -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main))
