"""How many copies of a recording are found, and how many other clips are taken for one.

Real speech through eight codec conditions where it is at hand (``shared/``), and the
demo corpus.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import soundfile
from benchmarks.timing import timed
from builders import ROOT
from copies_of_clips import COPIES

from base_models.clips.demo.corpus import write_demo
from base_models.clips.same_audio.fingerprint import read_fingerprint
from base_models.clips.same_audio.matches import same_pairs, similarity

CODEC_TEST = ROOT / "shared" / "data" / "codec-listening-test" / "wav"
COPIED = 40
"""Number of clips that each kind of copy is made of."""


def corpus_files(name, folder):
    """The audio files of one of the two corpora."""
    if name == "demo":
        write_demo(folder / "demo")
        return sorted((folder / "demo" / "wav").glob("*.wav"))
    if not CODEC_TEST.is_dir():
        pytest.skip(f"{CODEC_TEST} is not there")
    return sorted(CODEC_TEST.glob("*.wav"))


def mono(path):
    samples, rate = soundfile.read(path, always_2d=True)
    return samples.mean(axis=1), rate


@pytest.mark.parametrize("name", ["codec test", "demo"])
def bench_copies_found(name, tmp_path):
    """Share of copies that are found among all clips, by what was done to them."""
    files = corpus_files(name, tmp_path)
    prints = {path.stem: read_fingerprint(path) for path in files}
    rng = np.random.default_rng(0)
    chosen = files[:: max(1, len(files) // COPIED)][:COPIED]
    for kind, copy in COPIES.items():
        copies = {}
        for path in chosen:
            file = tmp_path / f"{path.stem}.copy"
            file.write_bytes(copy(*mono(path), rng))
            copies[f"copy of {path.stem}"] = read_fingerprint(file)
        of_clip = {}
        false = 0
        for pair in same_pairs(prints | copies):
            names = {pair.first, pair.second}
            for path in chosen:
                if {path.stem, f"copy of {path.stem}"} == names:
                    of_clip[path.stem] = pair.similarity
                    break
            else:
                false += 1
        least = min(of_clip.values(), default=float("nan"))
        print(
            f"{name}, {kind}: {len(of_clip)} of {len(chosen)} found, "
            f"correlation at least {least:.4f}; {false} other pairs"
        )


@pytest.mark.parametrize("name", ["codec test", "demo"])
def bench_false_alarms(name, tmp_path):
    """Pairs of different clips that are taken for one recording, of all pairs."""
    files = corpus_files(name, tmp_path)
    prints = {path.stem: read_fingerprint(path) for path in files}
    seconds, pairs = timed(lambda: same_pairs(prints))
    n_pairs = len(files) * (len(files) - 1) // 2
    print(
        f"{name}: {len(files)} clips, {len(pairs)} of {n_pairs} pairs of different "
        f"clips taken for one recording; compared in {seconds:.2f} s"
    )
    for pair in pairs[:10]:
        print(f"  {pair.first} = {pair.second} ({pair.similarity:.4f})")
    if name == "demo":
        return

    # How near the versions of one utterance come, by what they went through.
    nearest = {}
    for first, second in combinations(sorted(prints), 2):
        words, codec = first.split("__")
        other_words, other_codec = second.split("__")
        if words == other_words:
            value = similarity(prints[first], prints[second])
            both = f"{codec} and {other_codec}"
            nearest[both] = max(nearest.get(both, 0.0), value)
    for both, value in sorted(nearest.items(), key=lambda item: -item[1])[:5]:
        print(f"  largest correlation of {both}: {value:.4f}")
