"""The parser of every command: jsonargparse with shorter help and error messages."""

from __future__ import annotations

import argparse
import math
import re
import sys
import textwrap
import tomllib
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

from base_models.errors import UsageError, nearest_name
from base_models.precision import AUTO
from ensemble.cli.shared.exit_codes import EXIT_CODES, USAGE, fail, say
from ensemble.cli.shared.general_options import add_general_options
from ensemble.screen.streams import await_json, take_stdout
from ensemble.version import __version__
from ensemble.workspace import Workspace

if TYPE_CHECKING:
    from ensemble.training.encoder_choice import EncoderChoice

_EXIT_CODES = ", ".join(f"{code} {means}" for code, means in EXIT_CODES.items())
_OUTPUTS = ("out", "json", "distributions", "differences")
"""Options that name a file to write, of which ``-`` is standard output."""
LAST_SEED = 2**32 - 1
PREDICTION_WORDS = (
    "NAME=FILE names the model, in the fit as for new clips; FILE:COLUMN or "
    "FILE:FIRST,SECOND the columns of the scores (default: found by their names); "
    "FILE:0-100 their scale, after the columns (default: known from the columns, else "
    "that of the labels); FILE+LIST the clips of a file without ids"
)
"""How files of predictions are named, for the help of their options."""
_NUMBER_KINDS = {"int": "a whole number", "float": "a number"}

# Messages of jsonargparse that are said more plainly here.
_WRONG_TYPE = re.compile(
    r'Parser key "(\w+)": Expected an? <class \'(\w+)\'>\. Got value: ?(.*)'
)
_UNKNOWN_OPTION = re.compile(r"unrecognized arguments: (--[\w-]+)")


class OptionGroup(Protocol):
    """A parser, or a group of its options under a heading."""

    def add_argument(self, *names: str, **settings: Any) -> Any:
        """Add an option."""


class _Help(DefaultHelpFormatter):
    """Help that states each default once, and no types."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        # Examples stay in their lines.
        filled: list[str] = []
        for part in text.split("\n\n"):
            is_list = "\n" in part
            filled.append(part if is_list else super()._fill_text(part, width, indent))
        return "\n\n".join(filled)

    def _split_lines(self, text: str, width: int) -> list[str]:
        # FILE:LOW-HIGH and --names stay whole.
        words = " ".join(text.split())
        return textwrap.wrap(words, width, break_on_hyphens=False)

    def _get_help_string(self, action: argparse.Action) -> str:
        # The words of an option without a default say what happens without it.
        # That a flag is off where it is not given goes without saying.
        is_flag = action.default is False
        if action.default is None or is_flag or not action.option_strings:
            return action.help or ""
        text: str = super()._get_help_string(action)
        return text.replace("type: %(type)s, ", "")

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        # "--level LEVEL" would say nothing.
        kind = getattr(action, "_typehint", action.type)
        if kind in (int, seed):
            return "N"
        if kind is float:
            return "NUMBER"
        return super()._get_default_metavar_for_optional(action)


class Options(ArgumentParser):
    """Options of one command.

    Parameters
    ----------
    command : its name
    about : what it does, for the help
    examples : command lines as typed, with what each is for
    others : parameters of `jsonargparse.ArgumentParser`
    """

    def __init__(
        self,
        command: str = "",
        about: str = "",
        examples: Mapping[str, str] | None = None,
        **others: Any,
    ) -> None:
        self.examples = dict(examples or {})
        listed = [f"  # {what}\n  {line}" for line, what in self.examples.items()]
        parts = ["\n".join(["examples:", *listed])] if listed else []
        defaults = {
            "prog": command,
            "description": about,
            "epilog": "\n\n".join([*parts, f"exit codes: {_EXIT_CODES}"]),
            "formatter_class": _Help,
            # Abbreviated, ``--seed 3`` would mean ``--seeds 3`` and train three models.
            "allow_abbrev": False,
            "version": __version__,
        }
        super().__init__(**{**defaults, **others})
        # The parsers that jsonargparse makes for itself read no command line.
        if command:
            add_general_options(self)

    def parse_args(self, *words: Any, **others: Any) -> Namespace:  # type: ignore[override]
        """Parse a command line; where it wants a file on standard output, only that."""
        # Known before anything is parsed, as that may fail.
        typed = words[0] if words and words[0] is not None else sys.argv[1:]
        is_asked_for = "--json=-" in typed or ("--json", "-") in pairwise(typed)
        await_json(self.prog if is_asked_for else "")
        options = super().parse_args(*words, **others)
        await_json(self.prog if options.get("json") == "-" else "")
        take_stdout(any(options.get(name) == "-" for name in _OUTPUTS))
        return options

    def add(self, heading: str) -> Callable[..., Any]:
        """Begin a group of options; what adds one to it."""
        adder: Callable[..., Any] = self.group(heading).add_argument
        return adder

    def group(self, heading: str) -> OptionGroup:
        """Begin a group of options under a heading."""
        made: OptionGroup = self.add_argument_group(heading)
        return made

    def format_help(self, *words: Any) -> str:
        """Help, in which what all commands have comes last."""
        self._optionals.title = "general"
        self._action_groups = sorted(
            self._action_groups, key=lambda group: group is self._optionals
        )
        # All options in a row would be a dozen lines that nobody reads.
        named = [self._word(action) for action in self._get_positional_actions()]
        self.usage = " ".join(["%(prog)s", *named, "[options]"])
        text: str = super().format_help(*words)
        return text

    def _word(self, action: argparse.Action) -> str:
        name = action.metavar or action.dest.upper()
        is_optional = action.nargs in ("?", "*")
        dots = " ..." if action.nargs in ("*", "+") else ""
        return f"[{name}{dots}]" if is_optional else f"{name}{dots}"

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Say what is wrong with the command line and leave with exit code 2."""
        text = " ".join(message.split())
        if wrong_type := _WRONG_TYPE.match(text):
            option, kind, value = wrong_type.groups()
            takes = _NUMBER_KINDS.get(kind, kind)
            text = f"--{option.replace('_', '-')} takes {takes}; got '{value}'"
        elif unknown := _UNKNOWN_OPTION.match(text):
            text += self._suggestion(unknown[1])

        # Not argparse's own message, which prints the whole usage before it.
        fail(text, USAGE)
        say(f"usage: {self.prog} --help lists the options")
        raise SystemExit(USAGE)

    def _suggestion(self, option: str) -> str:
        close = nearest_name(option, self._option_string_actions)
        return f". Did you mean {close}?" if close else ""


def seed(word: str | int) -> int:
    """The type of an option that starts random numbers: 0 .. 2^32 - 1.

    Raises
    ------
    argparse.ArgumentTypeError
        with what is legal; the parser names the option.
    """
    is_whole = re.fullmatch(r"[0-9]+", str(word)) is not None
    # The range of scikit-learn's seeds.
    if not (is_whole and int(word) <= LAST_SEED):
        raise argparse.ArgumentTypeError(
            f"a seed is a whole number in 0..{LAST_SEED}; got '{word}'"
        )
    return int(word)


def add_aspects_option(group: OptionGroup, also: str = "") -> None:
    """Add ``--aspects``; `also` says what else the names are for."""
    group.add_argument(
        "--aspects",
        nargs="+",
        metavar="NAME[=COLUMN]",
        help="rated columns; mi=naturalness reads the aspect mi from the column "
        f"naturalness; default: those with a known name{also}",
    )


def add_scale_option(group: OptionGroup, whose: str = "labels") -> None:
    """Add ``--scale``, the scale of `whose` mean ratings."""
    group.add_argument(
        "--scale",
        nargs="+",
        metavar=("LOW", "HIGH"),
        help=f"lowest and highest rating of the {whose}, e.g. 0 100; of single aspects "
        "ASPECT=LOW-HIGH, e.g. mos=1-5 pq=1-10; default: 1 5",
    )


def add_predictor_scales_option(group: OptionGroup) -> None:
    """Add ``--predictor-scales``, a table of the scales of models."""
    group.add_argument(
        "--predictor-scales",
        type=str,
        metavar="FILE",
        help="table with the columns model and scale (as 0-100): scales of the models "
        "in --predictions, where FILE:LOW-HIGH does not do",
    )


def add_rating_scale_option(group: OptionGroup) -> None:
    """Add ``--rating-scale``, the scale of single ratings."""
    group.add_argument(
        "--rating-scale",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="lowest and highest of the single ratings in --ratings; default: those of "
        "--scale, else 1 5",
    )


def add_system_truth_option(group: OptionGroup) -> None:
    """Add ``--system-truth``, scores of systems to measure against."""
    group.add_argument(
        "--system-truth",
        type=str,
        metavar="FILE",
        help="true scores of systems (csv sysID,MI,TA), or 'tree': the file in "
        "system_mos of the MusicEval tree; default: means of the clips",
    )


def add_config_option(parser: Options) -> None:
    """Add ``--config``, a file of options."""
    parser.add_argument(
        "--config",
        action="config",
        metavar="FILE",
        help="read any of these options from a YAML file",
    )


def add_device_option(
    group: OptionGroup,
    when: str = "",
    *,
    deals_runs: bool = False,
) -> None:
    """Add ``--device``.

    Parameters
    ----------
    group : OptionGroup
    when : str
        What else must be given for it.
    deals_runs : bool
        Whether it may name several, over which runs are dealt.
    """
    several = "; runs are dealt over several, such as cuda:0,1" if deals_runs else ""
    group.add_argument(
        "--device",
        type=str,
        default=None if when else "auto",
        help=f"{when}where to compute: cpu, cuda (cuda:1 is the second GPU), mps, or "
        f"auto: the fastest of them that is there{several}",
    )


USUAL_PRECISION = "the fastest that an encoder has proved itself in"
"""What ``--precision auto`` is where encoders are chosen."""


def add_precision_option(group: OptionGroup, default: str, when: str = "") -> None:
    """Add ``--precision``; `default` says what ``auto`` is, `when` what it needs."""
    group.add_argument(
        "--precision",
        type=str,
        default=None if when else AUTO,
        help=f"{when}what encoders compute in: float32, bfloat16, tf32 (CUDA alone), "
        f"or auto: {default}",
    )


def check_device(options: Namespace) -> None:
    """Refuse a device that is not here, or a precision that it does not have.

    Parameters
    ----------
    options : Namespace
        ``device`` and ``precision``, as they were asked for.
    """
    # With these nothing can be wrong, and to look it up torch is imported.
    if options.device == options.precision == AUTO:
        return
    from base_models.devices import resolve_devices
    from base_models.precision import check_precision

    # All of them are of one kind.
    first, *_ = resolve_devices(options.device)
    check_precision(options.precision, str(first))


def add_artifacts_option(group: OptionGroup, what: str) -> None:
    """Add ``--artifacts``, the folder of `what`."""
    group.add_argument(
        "--artifacts",
        type=str,
        default="artifacts",
        metavar="FOLDER",
        help=f"folder of {what}",
    )


def add_weights_options(group: OptionGroup, when: str = "") -> None:
    """Add ``--audio-encoder`` and ``--text-encoder``: where weights lie now."""
    for kind in ("audio", "text"):
        group.add_argument(
            f"--{kind}-encoder",
            nargs="+",
            metavar="NAME=FOLDER",
            help=f"{when}folder of the weights of {kind} encoders, where they were "
            "moved since",
        )


def choose_encoders(
    audio: Sequence[str] | None, text: Sequence[str] | None, demo: bool
) -> EncoderChoice:
    """The encoders that are named; for the demo the embedded ones, where none are.

    Real data never falls back on the embedded encoders.

    Raises
    ------
    UsageError
        when a name is unknown, or an encoder is not of its kind.
    """
    from ensemble.training.encoder_choice import EncoderChoice

    if demo:
        audio = audio or ["logmel"]
        text = text or ["hashed_text"]
    return EncoderChoice.parse(audio, text)


def choose_data(path: str | None, workspace: Workspace) -> Path | str:
    """The clips that are named, or the demo corpus, written to the workspace."""
    if path is not None:
        return path
    from base_models.clips.demo.corpus import write_demo

    return write_demo(workspace.demo)


def parse_settings(
    words: Sequence[object] | Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Settings from ``KEY=VALUE`` words.

    A value is as in TOML (``10``, ``1e-4``, ``true``, ``"text"``); what is not, is text
    as it stands. The key of a setting in a group is ``GROUP.KEY``.

    Parameters
    ----------
    words : sequence of str, mapping or None
        A file of options (``--config``) may have a mapping instead, whose groups are
        mappings in it, or a single word.

    Raises
    ------
    UsageError
        when a word is not of this form, or a key is named twice.

    Examples
    --------
    >>> parse_settings(["max_epochs=20", "learning_rate=1e-4", "bins.grid=endpoints"])
    {'max_epochs': 20, 'learning_rate': 0.0001, 'bins.grid': 'endpoints'}
    """
    if isinstance(words, Mapping):
        return dict(words)
    if words is None:
        return {}
    listed = words if isinstance(words, list | tuple) else [words]

    settings: dict[str, Any] = {}
    for word in listed:
        key, equals, value = str(word).partition("=")
        key = key.strip()
        if not (key and equals and value.strip()):
            raise UsageError(
                "--set takes KEY=VALUE or GROUP.KEY=VALUE without spaces, e.g. "
                f"max_epochs=20 bins.grid=endpoints; got '{word}'."
            )
        if key in settings:
            raise UsageError(f"--set names '{key}' twice; leave one of them out.")
        settings[key] = _setting_value(value)
        if isinstance(settings[key], float) and not math.isfinite(settings[key]):
            raise UsageError(f"--set takes finite numbers; got '{word}'.")
    return settings


def _setting_value(text: str) -> Any:
    """A value as in TOML, or the text itself where it is not one."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        # A bare word, which TOML would want in quotes.
        return text
    # A text of several lines may happen to be TOML of several keys.
    return parsed["value"] if len(parsed) == 1 else text
