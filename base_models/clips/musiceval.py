"""MusicEval and AudioMOS 2025 track 1: label lists, prompts and single ratings as text.

A tree holds ``sets/<split>_mos_list.txt`` (lines ``file.wav,MI,TA``), ``wav``, the
prompts in ``prompt_info.txt`` and ``demo_prompt_info.txt``, and, in some releases,
single ratings in ``person_mos/<split>_person_mos.txt``. A line that cannot be used
stays a row of its table, so that all of them are named together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from base_models.clips.columns import SPLITS
from base_models.clips.problems import Problem, Problems
from base_models.clips.tables.encoding import read_text
from base_models.clips.tables.read_table import is_table
from base_models.clips.text_table import (
    TextTable,
    check_name,
    parse_number,
    split_lines,
)
from base_models.errors import UsageError

ASPECTS = ("mi", "ta")
"""Music impression, and textual alignment."""
DEMO_SYSTEMS = frozenset({"S001", "S006", "S013", "S017", "S018", "S033"})
"""Systems whose clips are published demos, each with a prompt of its own."""
PREFIX = "audiomos2025-track1-"
EVAL_LIST = "eval_list.txt"
EVAL_PACKAGE = "audiomos2025-track1-eval-phase"
RATING_FOLDER = "person_mos"
_LISTED_CLIP = re.compile(rb"audiomos2025-track1-|S[0-9]+_P[0-9]+(\.wav)?\s*(,|$)")


def find_tree(path: Path) -> Path | None:
    """The root of the tree that `path` names, or None.

    The root is `path` itself, its ``DATA``, or the eval-phase package in it.
    """
    candidates = (
        path,
        path / "DATA",
        path / EVAL_PACKAGE / "DATA",
        path / EVAL_PACKAGE,
    )
    for folder in candidates:
        has_lists = (folder / "sets").is_dir() or _label_lists(folder)
        if has_lists or (folder / RATING_FOLDER).is_dir():
            return folder
    return None


def is_list(path: Path) -> bool:
    """Whether a file is one of the lists of a tree, by the first clip that it names."""
    if path.suffix.lower() != ".txt" or not path.is_file():
        return False
    if path.name == EVAL_LIST:
        return True
    with path.open("rb") as file:
        # A mark of the byte order may come first.
        beginning = file.read(512).removeprefix(b"\xef\xbb\xbf").lstrip()
    return _LISTED_CLIP.match(beginning) is not None


def read_tree(path: Path, problems: Problems) -> TextTable:
    """Read the clips of a MusicEval tree, of its eval-phase package, or of one list.

    Parameters
    ----------
    path : the tree's folder; or a folder of label lists; or one list, whose ``wav``
        folder and prompts are looked for beside it (or beside ``sets``, if it is there)
    problems : takes the lines without the fields of a list, and names of files that are
        none of its clips

    Returns
    -------
    table : columns ``clip_id, system_id, prompt, audio, split, mi, ta, prompt_id``. A
        tree without label lists has the clips of its single ratings, without labels

    Raises
    ------
    UsageError
        when there is nothing to read, or a file of prompts cannot be used.
    """
    if path.is_dir():
        root, lists = _find_lists(path)
    else:
        in_sets = path.parent.name == "sets"
        root = path.parent.parent if in_sets else path.parent
        lists = [path]

    prompts = read_prompts(root)
    wav = root / "wav"
    has_audio = wav.is_dir()

    rows: list[tuple[str, ...]] = []
    locations = []
    labelled_test_clips = set()
    for file in lists:
        is_eval_list = file.name == EVAL_LIST
        for clip in _read_list(file, has_ratings=bool(_rating_lists(root))):
            # A later release has the labels of the eval list in test_mos_list.txt,
            # which is read before it.
            if is_eval_list and clip.clip_id in labelled_test_clips:
                continue
            if clip.split == "test" and not is_eval_list:
                labelled_test_clips.add(clip.clip_id)

            # A name that leads elsewhere must not become a path.
            audio = ""
            if has_audio and not clip.problems:
                audio = str(wav / f"{clip.clip_id}.wav")
            for problem in clip.problems:
                problems.add(len(rows), problem)
            row = (
                clip.clip_id,
                system_of(clip.clip_id),
                prompts.of_clip(clip.clip_id),
                audio,
                clip.split,
                clip.mi,
                clip.ta,
                prompt_id_of(clip.clip_id),
            )
            rows.append(row)
            locations.append((str(file), clip.line))

    problems.n_rows = len(rows)
    names = ("clip_id", "system_id", "prompt", "audio", "split", *ASPECTS, "prompt_id")
    return TextTable.from_rows(names, rows, locations)


def read_rating_lists(path: Path, problems: Problems) -> TextTable:
    """Read the single ratings of a tree (``person_mos/``), or one such list.

    Parameters
    ----------
    path : the tree's folder, or the list
    problems : takes the lines without the fields of a list, and names of files and
        raters that are none

    Returns
    -------
    table : columns ``clip_id, rater_id, mi, ta``

    Raises
    ------
    UsageError
        when there is nothing to read.
    """
    if path.is_dir():
        files = _rating_lists(path)
        if not files:
            raise UsageError(
                f"{path} holds no single ratings: looked for "
                "person_mos/train_person_mos.txt, dev_…, test_…."
            )
    else:
        files = [path]

    rows: list[tuple[str, ...]] = []
    locations = []
    for file in files:
        for line in _lines(file):
            clip_id = line.clip_id
            rater = line.fields[1] if len(line.fields) > 1 else ""
            mi, ta = line.numbers(2)
            for problem in line.problems("file.wav,rater,MI,TA"):
                problems.add(len(rows), problem)
            for what, name in (("clip id", clip_id), ("rater", rater)):
                for problem in line.problems_of_name(what, name):
                    problems.add(len(rows), problem)
            rows.append((clip_id, rater, mi, ta))
            locations.append((line.file, line.number))
    problems.n_rows = len(rows)
    return TextTable.from_rows(("clip_id", "rater_id", *ASPECTS), rows, locations)


# ---- clip ids


def system_of(clip_id: str) -> str:
    """The system in a clip id.

    >>> system_of("audiomos2025-track1-S002_P044")
    'S002'
    """
    return clip_id.removeprefix(PREFIX).partition("_")[0]


def prompt_id_of(clip_id: str) -> str:
    """The prompt id in a clip id.

    >>> prompt_id_of("audiomos2025-track1-S002_P044")
    'P044'
    """
    _, _, name = clip_id.removeprefix(PREFIX).partition("_")
    return name.partition("_")[0]


def are_clip_ids(names: Iterable[str]) -> bool:
    """Whether all names are like those of MusicEval, which say system and prompt.

    >>> are_clip_ids(["S002_P044", "audiomos2025-track1-S006_P013"])
    True
    """
    return all(
        re.fullmatch(r"S[0-9]+_P[0-9]+", name.removeprefix(PREFIX)) for name in names
    )


# ---- lines


@dataclass(frozen=True)
class _Line:
    """A line of a list, with its place and its fields, which commas separate."""

    file: str
    number: int
    fields: Sequence[str]

    @property
    def clip_id(self) -> str:
        """The name of the file without ``.wav``."""
        return self.fields[0].removesuffix(".wav")

    def numbers(self, n_names: int) -> tuple[str, str]:
        """MI and TA, which follow so many names; "" where they are not to be told."""
        if self._has_more_numbers(n_names):
            return "", ""
        mi, ta = [*self.fields[n_names:], "", ""][:2]
        return mi, ta

    def problems(self, expected: str) -> Iterator[Problem]:
        """What is wrong with the fields, and with the name of the file.

        Parameters
        ----------
        expected : the fields of such a line, separated by commas
        """
        n_fields = expected.count(",") + 1
        line = ",".join(self.fields)
        if len(self.fields) < n_fields:
            yield self._problem(
                line,
                f"expected {expected}",
                f"expected {expected}; got {line!r}",
                cure="Fill in what is missing; a field without a rating is empty.",
            )
        elif self._has_more_numbers(n_fields - 2):
            yield self._problem(
                line,
                "more numbers than MI and TA",
                f"expected {expected}, but more numbers follow: {line!r}",
                cure="Write numbers with a decimal point, as in 3.5, and no others.",
            )
        yield from self.problems_of_file()

    def problems_of_file(self) -> Iterator[Problem]:
        """What is wrong with the name of the file."""
        name = self.fields[0]
        # The name is joined to the wav folder, so it must not lead out of it.
        is_absolute = re.match(r"[/\\~]|[A-Za-z]:", name) is not None
        system, separator, prompt = self.clip_id.removeprefix(PREFIX).partition("_")
        if is_absolute or ".." in re.split(r"[/\\]", name):
            what = "points out of the wav folder"
            yield self._problem(
                name,
                f"the file name {what}",
                f"file name {name!r} {what}",
                cure="Write a plain file name.",
            )
        # That a name is empty is said of the clip id.
        elif self.clip_id and not (system and separator and prompt):
            yield self._problem(
                name,
                "the file name names no system",
                f"{name!r} names no system",
                cure=f"Write a name like {PREFIX}S002_P044.wav.",
            )

    def problems_of_name(self, what: str, name: str) -> Iterator[Problem]:
        """Whether a clip id or a rater is empty, or holds a control character."""
        if not name and (what == "clip id" or len(self.fields) > 1):
            yield self._problem("", f"the {what} is empty", cure="Write its name.")
        try:
            check_name(name, "", what)
        except UsageError:
            yield self._problem(
                name,
                f"the {what} holds a control character",
                f"{what} {name!r} holds a control character",
                cure="Write the name anew.",
            )

    def _has_more_numbers(self, n_names: int) -> bool:
        """Whether numbers follow MI and TA, as they do with decimal commas."""
        further = self.fields[n_names + 2 :]
        return any(parse_number(field) is not None for field in further)

    def _problem(
        self, value: str, what: str, message: str = "", *, cure: str
    ) -> Problem:
        return Problem(
            self.file,
            self.number,
            column="",
            value=value,
            what=what,
            cure=cure,
            message=message,
        )


def _lines(path: Path) -> list[_Line]:
    """The lines of a list that are not blank."""
    lines = []
    for number, line in enumerate(split_lines(read_text(path)), start=1):
        if line.strip():
            fields = [field.strip() for field in line.split(",")]
            lines.append(_Line(str(path), number, fields))
    return lines


# ---- label lists


class _ListedClip(NamedTuple):
    line: int
    clip_id: str
    split: str
    mi: str
    ta: str
    problems: Sequence[Problem]


def _rating_lists(root: Path) -> list[Path]:
    """The lists of single ratings of a tree, one per split."""
    folder = root / RATING_FOLDER
    return _existing(folder / f"{split}_person_mos.txt" for split in SPLITS)


def _find_lists(folder: Path) -> tuple[Path, list[Path]]:
    """The root of the tree in a folder, and its label lists."""
    root = find_tree(folder)
    lists: list[Path] = []
    if root is not None:
        sets = root / "sets"
        lists = _label_lists(sets if sets.is_dir() else root) or _rating_lists(root)
    if root is None or not lists:
        raise UsageError(
            f"{folder} holds no clips: looked for sets/train_mos_list.txt, "
            f"dev_mos_list.txt, test_mos_list.txt, {EVAL_LIST} and "
            f"{RATING_FOLDER}/train_person_mos.txt."
            f"{_hint_of_tables(folder)}"
        )
    return root, lists


def _label_lists(folder: Path) -> list[Path]:
    """Label lists of one folder, the eval list last."""
    official = _existing(folder / f"{split}_mos_list.txt" for split in SPLITS)
    # The inner lists are a participant's own split of the official ones; reading both
    # would read clips twice.
    inner = _existing(folder / f"{split}_inner_mos_list.txt" for split in SPLITS)
    return (official or inner) + _existing([folder / EVAL_LIST])


def _existing(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if path.is_file()]


def _hint_of_tables(folder: Path) -> str:
    tables = sorted(
        path.name
        for path in folder.iterdir()
        if is_table(path) and path.suffix.lower() != ".txt"
    )
    if not tables:
        return ""
    return f" It contains {', '.join(tables[:4])}: pass that file."


def _read_list(path: Path, has_ratings: bool) -> list[_ListedClip]:
    """The clips of one label list; those of the eval list have no labels.

    Nor do those of a list of single ratings, whose means are formed later; where a tree
    `has_ratings`, its lists may name clips alone.
    """
    if path.parent.name == RATING_FOLDER:
        return _read_rated_clips(path)
    is_eval_list = path.name == EVAL_LIST
    split = "test" if is_eval_list else _split_of_list(path)

    clips = []
    for line in _lines(path):
        mi, ta = line.numbers(1)
        problems = list(line.problems("file.wav,MI,TA"))
        # The eval list names clips only; whatever follows is not a label.
        if is_eval_list or (has_ratings and len(line.fields) == 1):
            mi = ta = ""
            problems = list(line.problems_of_file())
        clip = _ListedClip(
            line=line.number,
            clip_id=line.clip_id,
            split=split,
            mi=mi,
            ta=ta,
            problems=problems,
        )
        clips.append(clip)
    return clips


def _read_rated_clips(path: Path) -> list[_ListedClip]:
    """The clips of a list of single ratings, each once."""
    clips: dict[str, _ListedClip] = {}
    for line in _lines(path):
        clip = _ListedClip(
            line=line.number,
            clip_id=line.clip_id,
            split=_split_of_list(path),
            mi="",
            ta="",
            problems=list(line.problems_of_file()),
        )
        clips.setdefault(line.clip_id, clip)
    return list(clips.values())


def _split_of_list(path: Path) -> str:
    """The split that the name of a list says, or ""."""
    # A list may have any name when it is passed alone.
    match = re.fullmatch(
        r"(train|dev|test)(_inner)?(_person)?_mos(_list)?\.txt", path.name
    )
    return match.group(1) if match else ""


# ---- prompts


@dataclass(frozen=True)
class Prompts:
    """Shared prompts by prompt id, and demo prompts by full file name."""

    shared: dict[str, str]
    demo: dict[str, str]

    def of_clip(self, clip_id: str) -> str:
        """The prompt of a clip, or "" where there is none.

        A prompt id such as ``P013`` means one text for most systems and another for the
        demo systems. So a demo clip without a prompt of its own has none: falling back
        on its prompt id would pair it with a wrong text.
        """
        own_prompt = self.demo.get(f"{clip_id}.wav")
        if own_prompt is not None:
            return own_prompt
        if system_of(clip_id) in DEMO_SYSTEMS:
            return ""
        return self.shared.get(prompt_id_of(clip_id), "")


def read_prompts(root: Path) -> Prompts:
    """The prompts of a tree, in its root or beside its ``DATA``; none where absent."""
    # The eval-phase package has its prompts beside DATA, not in it.
    folders = [root, root.parent] if root.name.lower() == "data" else [root]
    return Prompts(
        shared=_read_first_prompt_file(folders, "prompt_info.txt"),
        demo=_read_first_prompt_file(folders, "demo_prompt_info.txt"),
    )


def _read_first_prompt_file(folders: list[Path], name: str) -> dict[str, str]:
    """The prompts of the first folder that has this file; none where no folder has."""
    for folder in folders:
        if (folder / name).is_file():
            return _read_prompt_file(folder / name)
    return {}


def _read_prompt_file(path: Path) -> dict[str, str]:
    """Read a tab-separated file with a header of ``id`` and ``text``.

    Quotes are part of the text: the files are not written by a csv writer.
    """
    header, *lines = split_lines(read_text(path))
    names = [name.strip().lower() for name in header.split("\t")]
    if "id" not in names or "text" not in names:
        raise UsageError(
            f"{path}, line 1: expected a header with id and text, separated by a tab; "
            f"got {header!r}."
        )
    id_position = names.index("id")
    text_position = names.index("text")

    prompts: dict[str, str] = {}
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        # A tab inside the last field is part of the prompt.
        fields = line.split("\t", len(names) - 1)
        if len(fields) < len(names):
            raise UsageError(
                f"{path}, line {number}: expected {len(names)} fields separated by "
                f"tabs; got {line!r}."
            )
        prompt_id = fields[id_position].strip()
        text = fields[text_position].strip()
        if prompts.setdefault(prompt_id, text) != text:
            raise UsageError(
                f"{path}, line {number}: prompt {prompt_id!r} is defined twice, with "
                "different texts."
            )
    return prompts
