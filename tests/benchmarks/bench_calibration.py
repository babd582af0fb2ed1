"""What share of new ratings intervals hold, overall and in each third of the scores,
with one scale of errors for all clips and with scales that follow the clip: in
simulation, and on real ratings of systems that were left out. And how many clips are
marked as out of range: of other systems of the same test, silence, noise and speech.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile
from builders import RATE, SHARED_DATA, clip_table, noises, unlike_errors
from sklearn.model_selection import GroupKFold, GroupShuffleSplit

from base_models.bins import ScoreBins
from base_models.clips.demo.corpus import write_demo
from base_models.clips.read_clips import read_clips
from base_models.encoders import load_encoder
from base_models.encoders.embed import embed_clips
from base_models.encoders.store import EmbeddingStore
from base_models.frame_range import FrameRange
from ensemble.prediction_files.stack_inputs import read_stack_inputs
from meta.regressor import MetaRegressor
from meta.rows import Rows
from meta.uncertainty.calibration import Calibration
from meta.uncertainty.clip_spread import spread_features
from meta.uncertainty.coverage import LEVELS, THIRDS, coverage_table

BVCC = SHARED_DATA / "bvcc-predictions" / "val_half.csv"
ONE_PREDICTOR = SHARED_DATA / "bvcc-predictions" / "train_oof.csv"
SPEECH = SHARED_DATA / "codec-listening-test" / "wav"
BINS = ScoreBins()
TABLES = 200
CLIPS = 165
NEW = 248
"""Clips of each simulated table: 40 % of a dev split of 413 teach the intervals, the
others are new."""


def kept(calibration, scores, truth, scales):
    """Share, mean width and shares in the thirds, a row per level."""
    table = coverage_table(calibration, scores, truth, scales=scales)
    return table[["share", "mean_width", *THIRDS]].to_numpy()


def say(name, found):
    """Print means over repeats: of shares, their spread over repeats, and of widths."""
    mean = np.mean(found, axis=0)
    spread = np.std(found, axis=0)
    print(f"\n{name} ({len(found)} repeats)")
    for row, level in enumerate(LEVELS):
        thirds = " ".join(f"{share:.3f}" for share in mean[row, 2:])
        print(
            f"  {level:.2f}: held {mean[row, 0]:.3f} (sd {spread[row, 0]:.3f}), "
            f"thirds {thirds}, mean width {mean[row, 1]:.3f}"
        )


@pytest.mark.parametrize(
    "kind",
    [
        "alike",
        "skewed, wider above",
        "wider above",
        "narrow at the ends",
        "by disagreement",
    ],
)
def bench_intervals_of_exchangeable_clips(kind):
    found = {False: [], True: []}
    for seed in range(TABLES):
        rng = np.random.default_rng(seed)
        scores, truth, base_scores = unlike_errors(kind, CLIPS + NEW, rng)
        features = spread_features(scores, base_scores, None, BINS)
        for by_clip, tables in found.items():
            calibration = Calibration.fit(
                scores[:CLIPS],
                truth[:CLIPS],
                BINS,
                features=features[:CLIPS] if by_clip else None,
            )
            scales = calibration.scales(features[CLIPS:])
            tables.append(kept(calibration, scores[CLIPS:], truth[CLIPS:], scales))
    say(f"errors {kind}; one scale", found[False])
    say(f"errors {kind}; by clip", found[True])
    shares = np.mean(found[True], axis=0)
    assert np.abs(shares[:, 0] - LEVELS).max() < 0.03
    assert np.abs(shares[:, 2:] - np.array(LEVELS)[:, None]).max() < 0.07


@pytest.mark.skipif(not BVCC.is_file(), reason="the real predictions are not here")
@pytest.mark.parametrize("learner", ["ridge", "mean"])
@pytest.mark.parametrize("way", ["5 folds of systems", "half the systems"])
def bench_intervals_of_unseen_systems(learner, way):
    """Stacks of 51 models; systems are left out of what fits and calibrates them."""
    external = read_stack_inputs([BVCC])
    ids = np.array(external.clips["clip_id"].tolist(), dtype=object)
    truth = external.clips["mos"].to_numpy()
    systems = external.clips["system_id"].to_numpy()
    repeats = 5 if way.startswith("5") else 20

    found = {False: [], True: []}
    marked = []
    warned = []
    for seed in range(repeats):
        splitter = GroupShuffleSplit(1, test_size=0.5, random_state=seed)
        if way.startswith("5"):
            splitter = GroupKFold(5, shuffle=True, random_state=seed)
        rows_of = {False: [], True: []}
        for train, test in splitter.split(ids, groups=systems):
            rows = Rows.of(
                ids[train], truth[train, None], ["mos"], systems=systems[train]
            )
            stack = MetaRegressor(learner, seed).fit(external.tables, rows)
            stack.calibrate(external.tables, rows)
            new = ids[test].tolist()
            scores = stack.predict(external.tables, new)[:, 0]
            check = stack.check_range(external.tables, new)
            marked.append(check.out_of_range.mean())
            warned.append(check.is_shifted)

            by_clip = stack.calibrations_[0]
            residuals = by_clip.residuals
            if by_clip.spread is not None:
                # One scale: what the same errors are without theirs.
                one = MetaRegressor(learner, seed).fit(external.tables, rows)
                one.spread_features = lambda tables, ids, k, scores: None
                residuals = (
                    one.calibrate(external.tables, rows).calibrations_[0].residuals
                )
            plain = replace(by_clip, residuals=residuals, spread=None)
            scales = stack.error_scales(external.tables, new)[:, 0]
            for is_by_clip, calibration in ((False, plain), (True, by_clip)):
                own = scales if is_by_clip else None
                for level in LEVELS:
                    low, high = calibration.interval(scores, level, scales=own)
                    rows_of[is_by_clip].append((level, test, scores, low, high))
        for is_by_clip, parts in rows_of.items():
            found[is_by_clip].append(joined(parts, truth))
    say(f"{learner}, {way}; one scale", found[False])
    say(f"{learner}, {way}; by clip", found[True])
    print(
        f"  marked {np.mean(marked):.2%} of clips of other systems; warned of "
        f"{np.sum(warned)} of {len(warned)} corpora"
    )


def joined(parts, truth):
    """As `kept`, of the clips of all folds together."""
    rows = []
    for level in LEVELS:
        own = [part[1:] for part in parts if part[0] == level]
        test, scores, low, high = (
            np.concatenate(column) for column in zip(*own, strict=True)
        )
        inside = (low <= truth[test]) & (truth[test] <= high)
        third = np.argsort(np.argsort(scores)) * 3 // len(scores)
        shares = [inside[third == number].mean() for number in range(3)]
        rows.append([inside.mean(), np.mean(high - low), *shares])
    return np.array(rows)


@pytest.mark.skipif(not ONE_PREDICTOR.is_file(), reason="the predictions are not here")
@pytest.mark.parametrize("n_systems", [20, 60])
def bench_intervals_of_one_real_predictor(n_systems):
    """Its errors differ with the score: the model of UTMOS on 175 systems."""
    table = pd.read_csv(ONE_PREDICTOR)
    scores = np.clip(table["pred_oof"].to_numpy(), 1, 5)
    truth = table["mos"].to_numpy()
    systems = table["system"].to_numpy()
    features = spread_features(scores, scores[:, None], None, BINS)
    found = {False: [], True: []}
    for seed in range(20):
        names = np.random.default_rng(seed).permutation(np.unique(systems))
        known = np.isin(systems, names[:n_systems])
        for by_clip, tables in found.items():
            calibration = Calibration.fit(
                scores[known],
                truth[known],
                BINS,
                features=features[known] if by_clip else None,
                fold=pd.factorize(systems[known])[0] % 5,
            )
            scales = calibration.scales(features[~known])
            tables.append(kept(calibration, scores[~known], truth[~known], scales))
    say(f"one predictor, {n_systems} systems; one scale", found[False])
    say(f"one predictor, {n_systems} systems; by clip", found[True])


@pytest.mark.skipif(not SPEECH.is_dir(), reason="the real speech is not here")
def bench_clips_out_of_range(tmp_path):
    """Models of the demo corpus (music) and of real speech, with log-mel frames."""
    encoder = load_encoder("logmel", device="cpu")

    def frames_of(clips):
        return embed_clips(clips, EmbeddingStore(), encoder, text=None)[1].frames

    demo = read_clips(write_demo(tmp_path / "demo"))
    files = sorted(SPEECH.glob("*.wav"))
    waves = [soundfile.read(file)[0].mean(axis=1) for file in files]
    odd = tmp_path / "odd"
    folders = [odd / name for name in ("silence", "noise", "speech")]
    for folder in folders:
        folder.mkdir(parents=True)
    silence = [np.zeros(5 * RATE), *noises([1e-5, 1e-4, 1e-3], 5.0)]
    music = {
        split: frames_of(demo[demo["split"] == split]) for split in ("train", "test")
    }
    others = {
        "silence": frames_of(clip_table(folders[0], silence)),
        "white noise": frames_of(clip_table(folders[1], noises([0.03, 0.1, 0.9], 5.0))),
    }
    speech = frames_of(clip_table(folders[2], waves))
    kinds = {
        "music": (music["train"], {"music": music["test"], "speech": speech}),
        "speech": (speech[:80], {"speech": speech[80:], "music": music["test"]}),
    }
    for name, (known, new) in kinds.items():
        model = FrameRange.fit(known)
        print(f"\nof {len(known)} clips of {name}: clips that lie farther than 1")
        for kind, frames in (new | others).items():
            distances = model.distances(frames)
            print(
                f"  {kind}: {np.mean(distances > 1):.1%} of {len(distances)}, the "
                f"nearest at {distances.min():.2f}, the middle at "
                f"{np.median(distances):.2f}"
            )
