"""Which of two clips is rated higher: predicted preferences against real ratings.

Each clip is predicted by a stack that saw no clip of its system (BVCC, 51 published
predictors) or of its content (codec test, regressors on log-mel), and both clips of a
pair by the same stack. Preferences are compared with the sign of the difference of
scores, and with those without factors of what clips have in common. Intervals resample
systems, or contents; a pair counts as often as both of its clusters are drawn.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from benchmarks.bench_small_tests import ALL, DATA, codec_test, out_of_fold, predictions
from benchmarks.bench_small_tests import FOLDS as CODEC_FOLDS
from builders import SHARED_DATA
from scipy import optimize, special
from sklearn.model_selection import GroupKFold

from base_models.bins import ScoreBins
from base_models.pooled_config import POOLED_MODELS
from ensemble.prediction_files.stack_inputs import read_stack_inputs
from meta.comparison.pairs.overall_preference import chances_of_best, moments
from meta.comparison.preference import preference
from meta.learners import USUAL_LEARNER
from meta.regressor import MetaRegressor
from meta.rows import Rows

BVCC = SHARED_DATA / "bvcc-predictions"
SEEDS = 3
FOLDS = 5
RESAMPLES = 500
GAPS = ((0.0, 0.5), (0.5, 1.0), (1.0, 4.0))
"""Differences of mean ratings, in score points."""
SURE = (0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.0)
"""Ends of the parts of a reliability table."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """What is known of n clips that were predicted by stacks which did not see them.

    Parameters
    ----------
    truth, scores : arrays of shape (n,)
    distributions : array of shape (n, bins)
    fold : int array of shape (n,), the stack that predicted each
    system, content : object arrays of shape (n,)
    cluster : object array of shape (n,), what is resampled
    factors : of each fold, `PairFactors`
    """

    truth: np.ndarray
    scores: np.ndarray
    distributions: np.ndarray
    fold: np.ndarray
    system: np.ndarray
    content: np.ndarray
    cluster: np.ndarray
    factors: tuple


@dataclass(frozen=True, eq=False)
class Pairs:
    """m pairs of clips, of one kind.

    Parameters
    ----------
    first, second : places of clips
    plain, said : P(first is preferred), without factors and with them
    sign : 1 where the first has the higher score, 0 or 0.5
    was : the same of the ratings
    gap : difference of the ratings
    """

    first: np.ndarray
    second: np.ndarray
    plain: np.ndarray
    said: np.ndarray
    sign: np.ndarray
    was: np.ndarray
    gap: np.ndarray


def pairs_of(clips, kind):
    """All pairs of a kind among clips of one fold."""
    first, second = np.triu_indices(len(clips.truth), 1)
    same_system = clips.system[first] == clips.system[second]
    same_content = (clips.content[first] == clips.content[second]) & (
        clips.content[first] != ""
    )
    of_kind = {
        "one system": same_system,
        "one content, two systems": same_content & ~same_system,
        "nothing in common": ~same_content & ~same_system,
    }[kind]
    of_kind &= clips.fold[first] == clips.fold[second]
    first = first[of_kind]
    second = second[of_kind]
    of_first = clips.distributions[first]
    of_second = clips.distributions[second]
    factor = np.empty(len(first))
    for fold, factors in enumerate(clips.factors):
        here = clips.fold[first] == fold
        factor[here] = factors.of(same_system[of_kind], same_content[of_kind])[here]
    return Pairs(
        first=first,
        second=second,
        plain=preference(of_first, of_second),
        said=preference(of_first, of_second, factor),
        sign=(1 + np.sign(clips.scores[first] - clips.scores[second])) / 2,
        was=(1 + np.sign(clips.truth[first] - clips.truth[second])) / 2,
        gap=np.abs(clips.truth[first] - clips.truth[second]),
    )


def is_right(said, was):
    """1 where the likelier side won, half where there is none."""
    return 1 - np.abs((1 + np.sign(said - 0.5)) / 2 - was)


def log_loss(said, was):
    said = np.clip(said, 1e-6, 1 - 1e-6)
    return -(was * np.log(said) + (1 - was) * np.log(1 - said))


def brier(said, was):
    return (said - was) ** 2


def best_factor(said, was):
    """The factor of the probit under which outcomes would have been likeliest."""
    probits = special.ndtri(np.clip(said, 1e-6, 1 - 1e-6))
    found = optimize.minimize_scalar(
        lambda log: log_loss(special.ndtr(probits * np.exp(log)), was).mean(),
        bounds=(np.log(0.05), np.log(5)),
        method="bounded",
    )
    return np.exp(found.x)


def with_interval(values, pairs, clips, keep=None):
    """Mean of a value over pairs, and its 95 % interval over clusters."""
    names, number = np.unique(clips.cluster.astype(str), return_inverse=True)
    rng = np.random.default_rng(0)
    kept = np.ones(len(values), dtype=bool) if keep is None else keep
    own = number[pairs.first[kept]]
    other = number[pairs.second[kept]]
    chosen = values[kept]
    means = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(len(names), size=len(names))
        times = np.bincount(drawn, minlength=len(names))
        # Of two clips of one cluster, that cluster counts once.
        weight = np.where(own == other, times[own], times[own] * times[other])
        if weight.sum():
            means.append(np.average(chosen, weights=weight))
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{chosen.mean():.3f} [{low:.3f}, {high:.3f}]"


def report(clips_of_seeds, kinds):
    """Print what a listening test says of preferences; seeds are averaged."""
    for kind in kinds:
        of_seeds = [pairs_of(clips, kind) for clips in clips_of_seeds]
        clips = clips_of_seeds[0]
        pairs = of_seeds[0]
        print(f"{kind}: {len(pairs.was)} pairs, {np.mean(pairs.was == 0.5):.1%} ties")
        untied = pairs.was != 0.5
        right = is_right(pairs.said, pairs.was)
        print(
            f"  right {with_interval(right, pairs, clips, untied)}; sign of scores "
            f"{with_interval(is_right(pairs.sign, pairs.was), pairs, clips, untied)}"
        )
        by_gap = []
        for low, high in GAPS:
            inside = untied & (pairs.gap > low) & (pairs.gap <= high)
            if inside.sum() > 20:
                by_gap.append(
                    f"{low:g}-{high:g}: {with_interval(right, pairs, clips, inside)}"
                )
        print(f"  right by difference of ratings {'; '.join(by_gap)}")
        plain = brier(pairs.plain, pairs.was)
        said = brier(pairs.said, pairs.was)
        print(
            f"  Brier {with_interval(said, pairs, clips)}; without factors "
            f"{with_interval(plain, pairs, clips)}, sign "
            f"{brier(pairs.sign, pairs.was).mean():.3f}"
        )
        losses = [
            [log_loss(p, one.was).mean() for p in (one.said, one.plain)]
            for one in of_seeds
        ]
        with_factors, without = np.mean(losses, axis=0)
        found = np.mean([best_factor(one.plain, one.was) for one in of_seeds])
        print(
            f"  log loss, {len(of_seeds)} seeds: {with_factors:.4f}; without factors "
            f"{without:.4f}; best factor in hindsight {found:.2f}"
        )
        print(f"  said -> was: {reliability(of_seeds)}")


def reliability(of_seeds):
    """How often the likelier side won, by how likely it was said to."""
    said = np.concatenate([np.maximum(one.said, 1 - one.said) for one in of_seeds])
    won = np.concatenate(
        [np.where(one.said >= 0.5, one.was, 1 - one.was) for one in of_seeds]
    )
    parts = []
    for low, high in itertools.pairwise(SURE):
        inside = (said >= low) & ((said < high) | (high == 1))
        if inside.sum() > 20:
            parts.append(
                f"{said[inside].mean():.2f} -> {won[inside].mean():.2f} "
                f"({inside.sum() // len(of_seeds)})"
            )
    return "; ".join(parts)


# ---- the listening tests


def bvcc_clips(seed):
    """Clips of BVCC, each predicted by a stack without its system."""
    external = read_stack_inputs([BVCC / "val_half.csv"])
    ids = external.clips["clip_id"].tolist()
    truth = external.clips["mos"].to_numpy()
    systems = external.clips["system_id"].to_numpy(dtype=object)
    rows = Rows.of(ids, truth[:, None], ("mos",), systems=systems)
    splits = GroupKFold(FOLDS, shuffle=True, random_state=seed)
    return predicted(
        [
            (external.tables, external.tables, rows.take(train), test)
            for train, test in splits.split(truth, truth, systems)
        ],
        seed=seed,
        ids=ids,
        truth=truth,
        system=systems,
        content=np.array([""] * len(truth), dtype=object),
        by="system",
    )


def codec_clips(seed):
    """Clips of the codec test, each predicted by a stack without its content."""
    test = codec_test(seed)
    models = [f"{preset}@logmel-s0" for preset in POOLED_MODELS]
    ids = test.clips["clip_id"]
    parts = []
    for outer in range(CODEC_FOLDS):
        known = [out_of_fold(test, model, seed, outer) for model in models]
        new = [predictions(test, model, seed, outer, ALL)[1] for model in models]
        rows = test.rows(np.flatnonzero(ids.isin(known[0].clip_ids)))
        parts.append((known, new, rows, np.flatnonzero(test.outer == outer)))
    return predicted(
        parts,
        seed=seed,
        ids=ids.tolist(),
        truth=test.labels[:, 0],
        system=test.clips["system_id"].to_numpy(dtype=object),
        content=test.clips["content_id"].to_numpy(dtype=object),
        by="content",
    )


def predicted(parts, *, seed, ids, truth, system, content, by):
    """`Predicted` of stacks: tables of a fit, of new clips, rows, and places."""
    n = len(truth)
    scores = np.empty(n)
    distributions = np.empty((n, 20))
    fold = np.empty(n, dtype=int)
    factors = []
    for number, (known, new, rows, places) in enumerate(parts):
        stack = MetaRegressor(USUAL_LEARNER, seed).fit(known, rows)
        stack.calibrate(known, rows)
        left_out = [ids[place] for place in places]
        scores[places] = stack.predict(new, left_out)[:, 0]
        distributions[places] = stack.predict_distribution(new, left_out)[:, 0]
        fold[places] = number
        factors.append(stack.calibrations_[0].pairs)
    return Predicted(
        truth=truth,
        scores=scores,
        distributions=distributions,
        fold=fold,
        system=system,
        content=content,
        cluster=system if by == "system" else content,
        factors=tuple(factors),
    )


# ---- benches


@pytest.mark.skipif(not BVCC.is_dir(), reason="the real predictions are not here")
def bench_pairs_of_bvcc():
    """Pairs of clips of systems that the stack has not seen."""
    clips = [bvcc_clips(seed) for seed in range(SEEDS)]
    print(f"\nfactors of one system: {listed(clips, 'within_system')}")
    report(clips, ("nothing in common", "one system"))
    say_single_votes(clips[0])


@pytest.mark.skipif(not DATA.is_dir(), reason="the codec test is not here")
def bench_pairs_of_the_codec_test():
    """Pairs of clips of contents that the stack has not seen."""
    clips = [codec_clips(seed) for seed in range(SEEDS)]
    print(f"\nfactors of one system: {listed(clips, 'within_system')}")
    print(f"factors of one content: {listed(clips, 'within_prompt')}")
    report(clips, ("one content, two systems", "nothing in common", "one system"))
    say_best_of(clips)


def listed(clips_of_seeds, name):
    """Factors of all stacks, in order of their size."""
    found = sorted(
        getattr(factors, name) for clips in clips_of_seeds for factors in clips.factors
    )
    return " ".join(f"{factor:.2f}" for factor in found)


def say_single_votes(clips):
    """Preferences against what single listeners said who rated both clips."""
    ratings = pd.read_csv(BVCC / "val_half_ratings.csv")
    external = read_stack_inputs([BVCC / "val_half.csv"])
    place = {clip: k for k, clip in enumerate(external.clips["clip_id"])}
    ratings["place"] = ratings["utterance"].map(place)
    ratings = ratings.dropna(subset="place").astype({"place": int})
    both = ratings.merge(ratings, on="listener")
    both = both[both["place_x"] < both["place_y"]]
    first = both["place_x"].to_numpy()
    second = both["place_y"].to_numpy()
    unseen = clips.fold[first] == clips.fold[second]
    unseen &= clips.system[first] != clips.system[second]
    first = first[unseen]
    second = second[unseen]
    said = preference(clips.distributions[first], clips.distributions[second])
    was = (1 + np.sign(both["rating_x"] - both["rating_y"]).to_numpy()[unseen]) / 2
    untied = was != 0.5
    right = is_right(said, was)[untied].mean()
    print(
        f"one listener's two ratings, two systems: {len(was)} pairs, "
        f"{np.mean(~untied):.1%} ties; right {right:.3f} of the others; best factor "
        f"in hindsight {best_factor(said, was):.2f}"
    )


def say_best_of(clips_of_seeds):
    """The best of the eight conditions of each content."""
    hits = []
    chances = []
    gained = []
    for clips in clips_of_seeds:
        means, spreads = moments(clips.distributions, ScoreBins())
        for content in np.unique(clips.content.astype(str)):
            members = np.flatnonzero(clips.content == content)
            found = chances_of_best(means[members], spreads[members])
            chosen = found.argmax()
            truth = clips.truth[members]
            hits.append(truth[chosen] == truth.max())
            chances.append(found[chosen])
            gained.append(truth[chosen] - truth.mean())
    print(
        f"best of {len(members)} of each content: is the best rated in "
        f"{np.mean(hits):.3f} (said {np.mean(chances):.3f}); rated "
        f"{np.mean(gained):+.2f} above the mean of its candidates"
    )
