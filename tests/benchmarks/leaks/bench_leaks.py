"""What leaks is found, and how often something is taken for a leak that is none.

Copies of recordings among real speech through eight codec conditions, where it is at
hand (``shared/``), and in the demo corpus; predictors that are the labels among real
predictors of speech; test rows with the predictions of rows that were fitted.
"""

from __future__ import annotations

import time
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import soundfile
from benchmarks.timing import timed
from builders import SHARED_DATA
from copies_of_clips import COPIES

from base_models.clips.audio import probe
from base_models.clips.demo.corpus import write_demo
from base_models.clips.same_audio.fingerprint import read_fingerprint
from base_models.clips.same_audio.fingerprint_store import FingerprintStore
from base_models.clips.same_audio.matches import same_pairs, similarity
from base_models.encoders import load_encoder
from base_models.encoders.store import EmbeddingStore
from base_models.predictions import PredictionTable
from meta.rows import Rows
from meta.splits.equal_predictions import equal_predictions
from meta.splits.label_copies import label_copies

CODEC_TEST = SHARED_DATA / "codec-listening-test" / "wav"
PREDICTORS = SHARED_DATA / "bvcc-predictions" / "val_half.csv"
ABOUT = ["utterance", "system", "mos", "mos_std", "n_ratings"]
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
        by_bytes = 0
        for path in chosen:
            file = tmp_path / f"{path.stem}.copy"
            file.write_bytes(copy(*mono(path), rng))
            by_bytes += file.read_bytes() == path.read_bytes()
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
            f"{name}, {kind}: {len(of_clip)} of {len(chosen)} found (by their "
            f"bytes {by_bytes}), correlation at least {least:.4f}; {false} other pairs"
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


def bench_cost_of_fingerprints(tmp_path):
    """Time beside that of the lightest encoder, and of thousands of clips."""
    files = corpus_files("demo", tmp_path)
    clips = {path.stem: str(path) for path in files}
    store = FingerprintStore(tmp_path / "prints")
    clock = time.process_time
    first, prints = timed(lambda: store.read(clips), clock)
    again, _ = timed(lambda: store.read(clips), clock)
    compared, _ = timed(lambda: same_pairs(prints), clock)
    probed, _ = timed(lambda: [probe(path) for path in files], clock)
    encoder = load_encoder("logmel")
    embeddings = EmbeddingStore(tmp_path / "embeddings")
    embedded, _ = timed(lambda: embeddings.fill(encoder, clips), clock)
    size = sum(file.stat().st_size for file in (tmp_path / "prints").rglob("*.*"))
    n = len(files)
    print(
        f"CPU ms per clip of 5 s: fingerprint {1e3 * first / n:.2f}, from the store "
        f"{1e3 * again / n:.2f}, compared with {n - 1} others "
        f"{1e3 * compared / n:.2f}; embedding by logmel {1e3 * embedded / n:.2f}, "
        f"probe of check_clips {1e3 * probed / n:.2f}; all of it "
        f"is {(first + compared) / embedded:.2f} of the embedding; "
        f"{size / n / 1e3:.0f} kB per clip"
    )

    # Clips as other music would be: the demo corpus of other seeds.
    many = dict(prints)
    for seed in range(1, 4):
        write_demo(tmp_path / f"demo{seed}", seed=seed)
        for path in sorted((tmp_path / f"demo{seed}" / "wav").glob("*.wav")):
            many[f"{seed}/{path.stem}"] = read_fingerprint(path)
    seconds, pairs = timed(lambda: same_pairs(many), clock)
    print(
        f"{len(many)} clips: {len(pairs)} of {len(many) * (len(many) - 1) // 2} pairs "
        f"taken for one recording, in {seconds:.1f} s of CPU"
    )


def bench_labels_as_predictors():
    """Copies of the labels found; honest predictors taken for one."""
    if not PREDICTORS.is_file():
        pytest.skip(f"{PREDICTORS} is not there")
    frame = pd.read_csv(PREDICTORS)
    labels = frame["mos"].to_numpy()
    by_system = frame.groupby("system")["mos"]
    means = by_system.transform("mean").to_numpy()
    rng = np.random.default_rng(0)
    kinds = {
        "the labels": lambda: labels,
        "labels + .02 noise": lambda: labels + rng.normal(0, 0.02, len(labels)),
        "labels + .05 noise": lambda: labels + rng.normal(0, 0.05, len(labels)),
        "labels + .10 noise": lambda: labels + rng.normal(0, 0.1, len(labels)),
        "half the labels": lambda: 0.5 * labels + 1,
        "their rank": lambda: 1 + 4 * frame["mos"].rank(pct=True).to_numpy(),
        "system means": lambda: means,
        "system means + .02 noise": lambda: means + rng.normal(0, 0.02, len(labels)),
        "half the system means": lambda: 0.5 * means + 1,
    }
    for kind, made in kinds.items():
        found = sum(_is_copy(frame, made()) for _ in range(20))
        print(f"{kind}: {found} of 20 found")

    models = [name for name in frame if name not in ABOUT]
    whole = sum(_is_copy(frame, frame[name]) for name in models)
    print(f"published predictors, {len(frame)} clips: {whole} of {len(models)} taken")
    parts = 0
    for _ in range(40):
        some = frame.sample(int(rng.choice([10, 20, 50])), random_state=rng)
        parts += sum(_is_copy(some, some[name]) for name in models)
    print(f"on parts of 10, 20 or 50 clips: {parts} of {40 * len(models)} taken")

    rows = frame.head(10)
    random = sum(
        _is_copy(rows, rng.uniform(1, 5, 10).round(int(rng.integers(0, 3))))
        for _ in range(5000)
    )
    print(f"random scores of 10 clips: {random} of 5000 taken")


def _is_copy(frame, scores):
    ids = frame["utterance"].tolist()
    table = PredictionTable.from_scores("x", ids, ("mos",), np.clip(scores, 1, 5))
    rows = Rows.of(ids, frame["mos"], ["mos"], systems=frame["system"])
    return bool(label_copies([table], rows))


def bench_rows_that_judge_again():
    """Fitted rows that are listed again as test rows, by number of real predictors."""
    if not PREDICTORS.is_file():
        pytest.skip(f"{PREDICTORS} is not there")
    frame = pd.read_csv(PREDICTORS)
    models = [name for name in frame if name not in ABOUT]
    rng = np.random.default_rng(0)
    for n_models, decimals in ((1, 6), (2, 6), (2, 1), (5, 2), (5, 1), (51, 6)):
        found = false = 0
        for _ in range(40):
            shuffled = frame.sample(frac=1, random_state=rng).reset_index(drop=True)
            chosen = rng.choice(models, n_models, replace=False)
            scores = shuffled[chosen].round(decimals).to_numpy()
            fitted, other = scores[:200], scores[200:400]
            again = np.concatenate([fitted[:10], other[:100]])
            equal = _equal(fitted, again)
            found += sum(f"t{row}" in equal for row in range(10))
            false += len(_equal(fitted, other))
        print(
            f"{n_models} predictors with {decimals} decimals: {found / 400:.1%} of "
            f"rows again found, {false / 8000:.2%} of other rows taken for one"
        )


def _equal(fitted, judging):
    def tables(prefix, scores):
        ids = [f"{prefix}{row}" for row in range(len(scores))]
        return ids, [
            PredictionTable.from_scores(f"m{k}", ids, ("mos",), np.clip(column, 1, 5))
            for k, column in enumerate(scores.T)
        ]

    ids, own = tables("d", fitted)
    judging_ids, others = tables("t", judging)
    return equal_predictions(own, ids, judging=others, judging_ids=judging_ids)
