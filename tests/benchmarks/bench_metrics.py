"""Intervals of all 16 metrics from 10,000 resamples, against a loop over scipy on
physically repeated rows.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

from base_models.metrics.bootstrap import bootstrap_weights, system_means
from base_models.metrics.evaluate import METRICS, evaluate

CLIPS, SYSTEMS, PROMPTS, RESAMPLES, LOOPED = 413, 31, 60, 10_000, 40
ASPECTS = ["mi", "ta"]


def listening_test():
    """The size of the AudioMOS 2025 track 1 test split; each clip is a system's answer
    to a prompt.
    """
    rng = np.random.default_rng(0)
    cells = rng.permutation(SYSTEMS * PROMPTS)[:CLIPS]
    truth = np.round(rng.uniform(1, 5, (CLIPS, 2)), 1)
    return (
        truth,
        truth + rng.normal(0, 0.5, truth.shape),
        cells // PROMPTS,
        cells % PROMPTS,
    )


def looped(truth, prediction, system, prompt=None):
    """What a user writes: repeat the rows of each resample, then call scipy."""
    of_system = bootstrap_weights(SYSTEMS, LOOPED, 0).astype(int)
    of_prompt = bootstrap_weights(PROMPTS, LOOPED, [0, 1]).astype(int)
    for ws, wp in zip(of_system, of_prompt, strict=True):
        times = ws[system] * (1 if prompt is None else wp[prompt])
        rows, copies = (
            np.repeat(np.arange(CLIPS), times),
            np.repeat(np.arange(SYSTEMS), ws),
        )
        within = (
            np.arange(CLIPS)
            if prompt is None
            else np.repeat(np.arange(CLIPS), wp[prompt])
        )
        copies = copies[np.isin(copies, system[within])]
        _, code = np.unique(system[within], return_inverse=True)
        place = {s: k for k, s in enumerate(np.unique(system[within]))}
        for k in range(len(ASPECTS)):
            means = [
                system_means(v[within, k], code)[[place[s] for s in copies]]
                for v in (truth, prediction)
            ]
            for metric in METRICS.values():
                metric(truth[rows, k], prediction[rows, k])
                metric(*means)


@pytest.mark.parametrize(
    "crossed", [False, True], ids=["systems", "systems and prompts"]
)
def bench_resampled_metrics(crossed):
    truth, prediction, system, prompt = listening_test()
    start = time.process_time()
    looped(truth, prediction, system, prompt if crossed else None)
    slow = (time.process_time() - start) * RESAMPLES / LOOPED
    start = time.process_time()
    ids = prompt.astype(str) if crossed else None
    evaluate(
        truth,
        prediction,
        system.astype(str),
        ASPECTS,
        n_bootstrap=RESAMPLES,
        prompt_ids=ids,
    )
    fast = time.process_time() - start
    print(
        f"\n{RESAMPLES:,} resamples of "
        f"{'systems and prompts' if crossed else 'systems'}: loop {slow:.1f} s",
        end=" ",
    )
    print(f"(from {LOOPED} of them), here {fast:.2f} s, {slow / fast:.0f} times faster")
    assert slow > 100 * fast
