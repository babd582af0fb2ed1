"""Command lines with words that are wrong, odd, or far too long."""

from pathlib import Path

import numpy as np
from torture.called import called, complaint, warm_up
from torture.harness import Outcome, Row
from torture.small_corpus import link_corpus, write_small_corpus

from ensemble.screen.literal import literal

_SCORES = ("evaluate_mos", "m1.csv", "labels.csv")
_COUNTS = ("0", "-1", "5.5", "1e9", "5,5", "", " 5 ", "1_0", "\u0663", "x" * 100_000)
_LEVELS = ("0", "1", "-0.5", "2", "nan", "inf", "1e400", "", "90%", "0,9")
_SCALES = ("1", "5 1", "1 1", "nan 5", "1 inf", "a b", "1-5", "mi=5-1", "x=1-5")
_FILES = ("", ".", "/dev/null", "no/such/folder/x.csv", "m1.csv", "x" * 300 + ".csv")
_STRANGE = ("a\x1b[41mb", "[/b]", "\u202eabc", "a\nb", "--", "-", "%s", "x" * 200_000)

LINES = [
    *((*_SCORES, "--bootstrap", word) for word in _COUNTS),
    *((*_SCORES, "--level", word) for word in _LEVELS),
    *((*_SCORES, "--scale", *word.split(" ")) for word in _SCALES),
    *((*_SCORES, "-o", word) for word in _FILES),
    *((*_SCORES, "--json", word) for word in _FILES),
    *(("fit_base", "--data", "nowhere.csv", "--seeds", word) for word in _COUNTS),
    *(("fit_base", "--data", "clips.csv", "--models", word) for word in _STRANGE),
    *(("fit_meta", "--learner", word) for word in _STRANGE),
    *(("check_clips", word) for word in _STRANGE),
    *(("check_clips", "clips.csv", "--columns", word) for word in _STRANGE),
    *(("check_clips", "clips.csv", "--aspects", word) for word in _STRANGE),
    *(("compare_systems", word) for word in _STRANGE),
    *(("predict_mos", word) for word in _STRANGE),
    *((*_SCORES, f"--{word}") for word in _STRANGE),
    *((*_SCORES, "--seed", word) for word in _COUNTS),
    *((command,) for command in ("check_clips", "evaluate_mos", "noise_ceiling")),
    ("fit_base", "--set", "max_epochs=1", "max_epochs=2"),
    ("fit_base", "--set", "no_such_key=1", "--data", "clips.csv"),
    ("fit_base", "--config", "/dev/zero"),
    ("fit_base", "--config", "."),
    ("fit_base", "--config", "loop.yaml"),
    ("fit_base", "--data", "clips.csv", "--artifacts", "m1.csv"),
    ("fit_base", "--data", "clips.csv", "--device", "cuda:99"),
    ("fit_base", "--data", "clips.csv", "--engine", "dask://"),
    ("fit_base", "--data", "clips.csv", "--split", "0.5", "0.5", "0.5"),
    ("fit_base", "--data", "clips.csv", "--split", "nan", "1", "1"),
    ("fit_meta", "--artifacts", "/dev/null"),
    ("fit_meta", "--artifacts", "nowhere"),
    ("fit_meta", "--set", "alpha=1e999"),
    ("predict_mos", "wav", "--artifacts", "nowhere"),
    ("predict_mos", "wav", "--stack", "hub:"),
    ("predict_mos", "wav", "--stack", "../../../../etc"),
    ("predict_mos", "*.nothing"),
    ("predict_mos", "-"),
    ("evaluate_mos", *(["m1.csv"] * 3000), "labels.csv"),
    ("evaluate_mos", "m1.csv:0-100:1-5", "labels.csv"),
    ("evaluate_mos", "=m1.csv", "labels.csv"),
    ("evaluate_mos", "labels.csv"),
    ("rate_less", "m1.csv", "ratings.csv", "--plan", "--budget", "0"),
    ("rate_less", "m1.csv", "ratings.csv", "--plan", "--budget", "1e9"),
    ("noise_ceiling", "ratings.csv", "--bootstrap", "99999999999"),
]
"""Words of command lines, the command first."""


class Torture(Row):
    """Each line is refused in a line of its own, or works."""

    what = "command lines with wrong, odd and endless words"
    passes_when = "one line of at most 500 characters, a documented code, under 5 s"
    at_least = 60
    n_cases = len(LINES)
    n_share = 9

    def __init__(self, shared: Path, seed: int) -> None:
        super().__init__(shared, seed)
        self._is_warm = False

    def prepare(self) -> None:
        """Write the small corpus."""
        write_small_corpus(self.shared)

    def run(self, case: int, folder: Path, rng: np.random.Generator) -> Outcome:
        """Call one line."""
        if not self._is_warm:
            warm_up()
            self._is_warm = True
        command, *words = LINES[case]
        link_corpus(self.shared, folder)
        (folder / "loop.yaml").write_text("data: &a [*a]\n")
        ended = called(command, words, folder, on_terminal=bool(case % 2))
        shown = literal(" ".join(word[:30] for word in words[:6]))
        return Outcome(f"{command} {shown}", complaint(ended, out_is_data=False))
