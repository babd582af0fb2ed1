"""Label lists as text: the MusicEval / AudioMOS 2025 track 1 tree, and what every reader of clip tables starts from.

A `TextTable` keeps each cell as the text it was and each row with the line it came from, so that an error can name
both. The trap: prompt id ``P013`` means one text for most systems and another for the six demo systems, whose prompts
are keyed by the full file name; falling back on the id would pair a demo clip with a wrong prompt without a word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from base_models.errors import UsageError

ASPECTS = ("mi", "ta")
"""Music impression, and textual alignment."""
DEMO_SYSTEMS = frozenset({"S001", "S006", "S013", "S017", "S018", "S033"})
PREFIX = "audiomos2025-track1-"
SPLITS = ("train", "dev", "test")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
EVAL_LIST, EVAL_PACKAGE = "eval_list.txt", "audiomos2025-track1-eval-phase"


@dataclass(frozen=True)
class TextTable:
    """Columns of text cells, and where each row stands.

    Parameters
    ----------
    columns : name to n cells; a missing cell is ""
    places : n pairs (file, line number)
    unit : what the number counts: ``"line"``, or ``"row"`` in a binary file
    """

    columns: dict[str, list[str]]
    places: Sequence[tuple[str, int]]
    unit: str = "line"

    def place(self, row: int) -> str:
        """Where a row stands, for a message."""
        file, number = self.places[row]
        return f"{file}, {self.unit} {number}"

    @classmethod
    def from_rows(
        cls, names: Sequence[str], rows: Sequence[Sequence[str]], places
    ) -> TextTable:
        """A table from n rows of ``len(names)`` cells."""
        cells = zip(*rows, strict=True) if rows else [()] * len(names)
        return cls(
            {name: list(column) for name, column in zip(names, cells, strict=True)},
            places,
        )


def read_text(path: Path) -> str:
    """All text of a UTF-8 file (a byte order mark is dropped).

    Raises
    ------
    UsageError
        when it is missing, not a regular file, empty, unreadable, not UTF-8, or holds a NUL.
    """
    if not path.is_file():
        raise UsageError(
            f"{path} is not a file."
            if path.exists()
            else f"There is no file or folder {path}."
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8."
        ) from error
    if "\0" in text:
        raise UsageError(
            f"{path} holds a NUL byte: it is not a text file, or is UTF-16; save it as UTF-8."
        )
    if not text.strip():
        raise UsageError(f"{path} is empty.")
    return text


def check_name(name: str, place: str, what: str) -> None:
    """Refuse a name with a NUL, a control character or a line separator, which a file system or a log would mangle."""
    if _CONTROL.search(name):
        raise UsageError(f"{place}: {what} {name!r} holds a control character.")


def _list_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Numbered comma-separated fields of each line that is not blank."""
    lines = enumerate(re.split(r"\r\n|\n|\r", read_text(path)), start=1)
    return [
        (number, [field.strip() for field in line.split(",")])
        for number, line in lines
        if line.strip()
    ]


def _clip_id(name: str, place: str) -> str:
    """File name without ``.wav``; it must stay within the wav folder and name a system."""
    check_name(name, place, "file name")
    if re.match(r"[/\\~]|[A-Za-z]:", name) or ".." in re.split(r"[/\\]", name):
        raise UsageError(
            f"{place}: file name {name!r} points out of the wav folder; write a plain file name."
        )
    clip_id = name.removesuffix(".wav")
    if not all(clip_id.removeprefix(PREFIX).partition("_")):
        raise UsageError(
            f"{place}: {name!r} names no system; expected a name like {PREFIX}S002_P044.wav."
        )
    return clip_id


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
    return clip_id.removeprefix(PREFIX).split("_")[1]


def _is_tree(folder: Path) -> bool:
    return (folder / "sets").is_dir() or any(_label_lists(folder))


def _label_lists(folder: Path) -> list[Path]:
    """Label lists of one folder; the inner split of a participant counts only where the official lists are absent."""
    official = [folder / f"{split}_mos_list.txt" for split in SPLITS]
    inner = [folder / f"{split}_inner_mos_list.txt" for split in SPLITS]
    found = [path for path in official if path.is_file()] or [
        path for path in inner if path.is_file()
    ]
    return found + [path for path in [folder / EVAL_LIST] if path.is_file()]


def find_tree(path: Path) -> Path | None:
    """The root of the tree that `path` names (itself, its ``DATA``, the eval-phase package in it), or None."""
    places = (path, path / "DATA", path / EVAL_PACKAGE / "DATA", path / EVAL_PACKAGE)
    return next((folder for folder in places if _is_tree(folder)), None)


def read_tree(path: Path) -> TextTable:
    """Clips of a MusicEval tree, of its eval-phase package, or of one label list.

    Parameters
    ----------
    path : the tree's folder; or a folder of label lists; or one list, whose ``wav`` folder and prompts are looked for
        beside it (beside ``sets``, if it stands there)

    Returns
    -------
    table : columns ``clip_id, system_id, prompt, audio, split, mi, ta, prompt_id``

    Raises
    ------
    UsageError
        when there is nothing to read, or a line cannot be used.
    """
    if path.is_dir():
        root = find_tree(path)
        lists = (
            _label_lists(root / "sets" if (root / "sets").is_dir() else root)
            if root
            else []
        )
        if not lists:
            raise UsageError(
                f"{path} holds no clips: looked for sets/train_mos_list.txt, dev_mos_list.txt, test_mos_list.txt and "
                f"{EVAL_LIST}.{_tables_in(path)}"
            )
    else:
        root, lists = (
            path.parent.parent if path.parent.name == "sets" else path.parent,
            [path],
        )
    prompts, wav = _read_prompts(root), root / "wav"
    rows, places, labelled_tests = [], [], set()
    for file in lists:
        for number, (clip_id, split, mi, ta) in _read_list(file):
            if file.name == EVAL_LIST and clip_id in labelled_tests:
                continue  # a later release has the labels of the eval list in test_mos_list.txt
            if split == "test" and file.name != EVAL_LIST:
                labelled_tests.add(clip_id)
            audio = str(wav / f"{clip_id}.wav") if wav.is_dir() else ""
            prompt = _prompt_of(clip_id, prompts)
            rows.append(
                (
                    clip_id,
                    system_of(clip_id),
                    prompt,
                    audio,
                    split,
                    mi,
                    ta,
                    prompt_id_of(clip_id),
                )
            )
            places.append((str(file), number))
    names = ("clip_id", "system_id", "prompt", "audio", "split", *ASPECTS, "prompt_id")
    return TextTable.from_rows(names, rows, places)


def _tables_in(folder: Path) -> str:
    tables = sorted(
        p.name
        for p in folder.iterdir()
        if p.suffix.lower() in {".csv", ".tsv", ".jsonl", ".parquet"}
    )
    return f" It does hold {', '.join(tables[:4])}: pass that file." if tables else ""


def _read_list(path: Path) -> list[tuple[int, tuple[str, str, str, str]]]:
    """Line numbers, and clip id, split and the two labels as text."""
    if path.name == EVAL_LIST:
        lines = [(number, [fields[0], "", ""]) for number, fields in _list_lines(path)]
        split = "test"
    else:
        lines = _list_lines(path)
        known = re.fullmatch(r"(train|dev|test)(_inner)?_mos_list\.txt", path.name)
        split = known.group(1) if known else ""
    clips = []
    for number, fields in lines:
        place = f"{path}, line {number}"
        if len(fields) < 3:
            raise UsageError(
                f"{place}: expected file.wav,MI,TA; got {','.join(fields)!r}."
            )
        clips.append(
            (number, (_clip_id(fields[0], place), split, fields[1], fields[2]))
        )
    return clips


def _read_prompts(root: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Shared prompts by prompt id, and demo prompts by full file name; an absent file is an empty table."""
    folders = [root, root.parent] if root.name == "DATA" else [root]
    tables = []
    for name in ("prompt_info.txt", "demo_prompt_info.txt"):
        path = next(
            (folder / name for folder in folders if (folder / name).is_file()), None
        )
        tables.append(_read_prompt_file(path) if path else {})
    return tables[0], tables[1]


def _read_prompt_file(path: Path) -> dict[str, str]:
    """Tab-separated, header ``id`` and ``text``; quotes are letters."""
    header, *lines = re.split(r"\r\n|\n|\r", read_text(path))
    names = [name.strip().lower() for name in header.split("\t")]
    if "id" not in names or "text" not in names:
        raise UsageError(
            f"{path}, line 1: expected a header with id and text, separated by a tab; got {header!r}."
        )
    prompts: dict[str, str] = {}
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        fields = line.split("\t", len(names) - 1)
        if len(fields) < len(names):
            raise UsageError(
                f"{path}, line {number}: expected {len(names)} fields separated by tabs; got {line!r}."
            )
        key, text = (
            fields[names.index("id")].strip(),
            fields[names.index("text")].strip(),
        )
        if prompts.setdefault(key, text) != text:
            raise UsageError(
                f"{path}, line {number}: prompt {key!r} stands there twice, with different texts."
            )
    return prompts


def _prompt_of(clip_id: str, prompts: tuple[dict[str, str], dict[str, str]]) -> str:
    shared, demo = prompts
    own = demo.get(f"{clip_id}.wav")
    if own is not None or system_of(clip_id) in DEMO_SYSTEMS:
        return own or ""
    return shared.get(prompt_id_of(clip_id), "")


def read_rating_lists(path: Path) -> TextTable:
    """Single ratings of a tree (``person_mos/``) or of one such list: ``clip_id, rater_id, mi, ta``, as text."""
    if path.is_dir():
        files = [path / "person_mos" / f"{split}_person_mos.txt" for split in SPLITS]
        files = [file for file in files if file.is_file()]
        if not files:
            raise UsageError(
                f"{path} holds no single ratings: looked for person_mos/train_person_mos.txt, dev_…, test_…."
            )
    else:
        files = [path]
    rows, places = [], []
    for file in files:
        for number, fields in _list_lines(file):
            place = f"{file}, line {number}"
            if len(fields) < 4:
                raise UsageError(
                    f"{place}: expected file.wav,rater,MI,TA; got {','.join(fields)!r}."
                )
            check_name(fields[1], place, "rater")
            rows.append((_clip_id(fields[0], place), *fields[1:4]))
            places.append((str(file), number))
    return TextTable.from_rows(("clip_id", "rater_id", *ASPECTS), rows, places)
