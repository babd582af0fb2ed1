"""How near the noise ceiling is to what true scores reach, whoever rated what."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from raters import DESIGNS, rated_systems

from base_models.metrics.bootstrap import system_means
from base_models.metrics.evaluate import LEVELS, METRICS
from base_models.metrics.noise_ceiling import noise_ceiling

TESTS = 200
LIST = Path("/work/shared/data/audiobox-ratings/track2_human_annotations.jsonl")


@pytest.mark.parametrize("design", DESIGNS)
def bench_ceiling_against_what_true_scores_reach(design):
    """Mean over tests of 15 systems with 20 clips, each by 6 raters."""
    reached, by_rater, by_clip = [], [], []
    for seed in range(TESTS):
        rng = np.random.default_rng([seed, 7])
        ratings, truth, system = rated_systems(rng, design)
        names = {f"c{k:04d}": f"s{s}" for k, s in enumerate(system)}
        labels = ratings.groupby("clip_id")["mi"].mean().to_numpy()
        pairs = [(labels, truth)]
        pairs.append((system_means(labels, system), system_means(truth, system)))
        reached.append(
            [
                np.var(one - other, ddof=1) if metric == "mse" else function(one, other)
                for one, other in pairs
                for metric, function in METRICS.items()
            ]
        )
        of_clip = ratings.assign(rater_id=np.arange(len(ratings)).astype(str))
        for found, given in ((by_rater, ratings), (by_clip, of_clip)):
            table = noise_ceiling(given, ["mi"], names, n_splits=20, n_bootstrap=0)
            found.append(table["ceiling"])

    print(f"\n{design}, {TESTS} tests: true scores reach, halves by rater, by clip")
    means = [np.mean(x, axis=0) for x in (reached, by_rater, by_clip)]
    error = np.std(np.subtract(by_rater, reached), axis=0) / np.sqrt(TESTS)
    cells = [f"{level} {metric.upper()}" for level in LEVELS for metric in METRICS]
    for cell, *numbers, standard_error in zip(cells, *means, error, strict=True):
        true, ours, old = numbers
        print(f"{cell:15} {true:.3f} {ours:.3f} (s.e. {standard_error:.3f}) {old:.3f}")
    is_correlation = [not cell.endswith("MSE") for cell in cells]
    differences = np.abs(means[0] - means[1])[is_correlation]
    assert differences.max() <= 0.01 + 2 * error.max()


def bench_ceilings_of_a_published_list():
    """The list of AudioMOS 2025 track 2 as it is: 122,400 ratings."""
    if not LIST.exists():
        pytest.skip("the ratings of Audiobox Aesthetics are not here")
    from ensemble.evaluate_predictions import ceiling_of_ratings

    start = time.process_time()
    found = ceiling_of_ratings(str(LIST))
    seconds = time.process_time() - start
    print(
        f"\n{found.n_clips} clips of {found.n_systems} systems, {seconds:.1f} s of CPU"
    )
    for row in found.ceiling[found.ceiling["metric"] == "srcc"].itertuples():
        print(
            f"{row.aspect} {row.level} SRCC {row.ceiling:.3f} "
            f"[{row.low:.3f}, {row.high:.3f}]"
        )
