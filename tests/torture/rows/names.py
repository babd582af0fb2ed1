"""Names of clips, systems, files and columns that try to act, or to hide."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from torture.called import Ended, called, complaint, warm_up
from torture.harness import Outcome, Row
from torture.small_corpus import RATE, link_corpus, write_small_corpus

from base_models.clips.tables.formulas import original_cell, safe_cell

NAMES = {
    "a closing tag of markup": "mix[/b]",
    "an opening tag of markup": "[bold red]take",
    "a link of markup": "[link=file:///etc/passwd]x",
    "an emoji by name": ":skull:",
    "a style and a blank": "take [final] :smile:",
    "colours": "a\x1b[41mred",
    "a cleared screen": "a\x1b[2Jb",
    "a title of the window": "a\x1b]0;owned\x07b",
    "a moved cursor": "a\x1b[10Ab",
    "a bell": "a\x07b",
    "a backspace": "good\b\b\b\bbad",
    "a C1 control": "a\x9b41mb",
    "a turned direction": "turned\u202egpj.vaw",
    "an isolate": "a\u2067b\u2069c",
    "a zero-width space": "S000\u200bP",
    "a soft hyphen": "S00\u00ad0",
    "tags": "a\U000e0041b",
    "a blank letter": "a\u3164b",
    "combining marks": "a" + "\u0301" * 60,
    "a line separator": "a\u2028b",
    "a paragraph separator": "a\u2029b",
    "a tab": "a\tb",
    "a formula": "=cmd|'/C calc'!A0",
    "a formula with plus": "+1+cmd",
    "a formula with at": "@SUM(1)",
    "a formula of full width": "\uff1d1+1",
    "html": "<script>alert(1)</script>",
    "an attribute of html": "x' onmouseover='alert(1)",
    "an entity": "a&#60;b&lt;c",
    "braces": "{system}{0}%s%n",
    "backslashes": "a\\nb\\x1b",
    "300 letters": "l" * 240,
    "an option": "--version",
    "a dash": "-",
    "a wide script": "曲" * 30,
    "a drive": "CON",
    "a tilde": "~root",
    "a pattern": "*?[a-z]",
    "percent escapes": "a%2e%2e%2fb",
    "both kinds of quotes": "a'b\"c",
}


def _as_ids(folder: Path, name: str) -> Ended:
    _write_scores(folder, name)
    words = ["scores.csv", "labels.csv", "--bootstrap", "0"]
    return called("evaluate_mos", words, folder, on_terminal=True)


def _as_systems(folder: Path, name: str) -> Ended:
    _write_scores(folder, name)
    words = ["scores.csv", "-o", "out.csv", "--report", "out.html"]
    return called("compare_systems", words, folder, on_terminal=True)


def _as_files(folder: Path, name: str) -> Ended:
    """One good file and one that is no audio, of such names."""
    (folder / "odd").mkdir()
    sound = 0.1 * np.sin(np.arange(RATE) / 10)
    # A name of a file has no slash.
    plain = name.replace("/", "_")
    with (folder / "odd" / f"{plain}.wav").open("wb") as file:
        soundfile.write(file, sound, RATE, format="WAV")
    (folder / "odd" / f"{plain}2.wav").write_bytes(b"no audio")
    return called("check_clips", ["odd", "-o", "out.csv"], folder, on_terminal=True)


def _as_columns(folder: Path, name: str) -> Ended:
    rows = _rows(folder / "labels.csv")
    rows[0][-1] = name
    _write(folder / "odd.csv", rows)
    return called("check_clips", ["odd.csv"], folder, on_terminal=True)


def _as_paths(folder: Path, name: str) -> Ended:
    rows = _rows(folder / "clips.csv")
    rows[3][-1] = f"wav/{name}.wav"
    rows[4][0] = name
    _write(folder / "odd.csv", rows)
    return called("check_clips", ["odd.csv"], folder, on_terminal=True)


def _as_words(folder: Path, name: str) -> Ended:
    """As a file that is not there, on a command line."""
    words = [f"./{name}.csv", "labels.csv"]
    return called("evaluate_mos", words, folder, on_terminal=True)


PLACES: dict[str, Callable[[Path, str], Ended]] = {
    "ids": _as_ids,
    "systems": _as_systems,
    "files": _as_files,
    "columns": _as_columns,
    "paths": _as_paths,
    "words": _as_words,
}


class Torture(Row):
    """Each name stands in each place; what is printed and written is looked at."""

    what = "names that inject into terminals, markup, html and spreadsheets"
    passes_when = "shown as they are or escaped; a documented code; under 5 s"
    at_least = 60
    n_cases = len(NAMES) * len(PLACES)
    n_share = 9

    def __init__(self, shared: Path, seed: int) -> None:
        super().__init__(shared, seed)
        self._is_warm = False

    def prepare(self) -> None:
        """Write the small corpus."""
        write_small_corpus(self.shared)

    def run(self, case: int, folder: Path, rng: np.random.Generator) -> Outcome:
        """Put one name in one place."""
        if not self._is_warm:
            warm_up()
            self._is_warm = True
        title, name = list(NAMES.items())[case % len(NAMES)]
        place, call = list(PLACES.items())[case // len(NAMES)]
        link_corpus(self.shared, folder)
        ended = call(folder, name)
        wrong = complaint(ended, out_is_data=False) or _written(folder, name)
        return Outcome(f"{place}: {title}", wrong)


def _written(folder: Path, name: str) -> str:
    """What is wrong with the files that a call wrote; "" when nothing is."""
    page = folder / "out.html"
    if page.exists() and "<script>alert" in page.read_text():
        return "html of a name is html of the page"
    table = folder / "out.csv"
    if not table.exists():
        return ""
    for row in _rows(table):
        for cell in row:
            if safe_cell(original_cell(cell)) != cell:
                return f"a spreadsheet would run {cell[:60]!r}"
    return ""


def _write_scores(folder: Path, name: str) -> None:
    """Scores in which a clip and a system have a name."""
    rows = _rows(folder / "m1.csv")
    system = rows[1][1]
    for row in rows[1:]:
        if row[1] == system:
            row[1] = name
    rows[2][0] = name
    _write(folder / "scores.csv", rows)


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def _write(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
