"""A synthetic listening test of any size: short sounds, ratings, and predictions.

It is synthetic throughout, and says nothing about real music.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

N_MODELS = 9
"""Predictors of the meta level, as many as the paper stacks."""
_RATE = 16_000
_SECONDS = 0.3
_CLIPS_PER_SYSTEM = 50
_CLIPS_PER_PROMPT = 10


@dataclass(frozen=True)
class Corpus:
    """Where the files of a synthetic listening test are.

    Parameters
    ----------
    clips : path
        Table of clips: audio, prompt, system, split and the two ratings.
    predictions : tuple of path
        Tables of `N_MODELS` predictors, of all clips.
    """

    clips: Path
    predictions: tuple[Path, ...]


def write_corpus(folder: Path, n_clips: int) -> Corpus:
    """Write a listening test of `n_clips` clips into a new folder."""
    rng = np.random.default_rng(n_clips)
    audio = folder / "wav"
    audio.mkdir(parents=True)
    ids = [f"clip{number:07d}" for number in range(n_clips)]
    # Every file is another, as equal audio is encoded once.
    for clip in ids:
        sound = 0.1 * rng.standard_normal(int(_SECONDS * _RATE))
        soundfile.write(audio / f"{clip}.wav", sound, _RATE)

    quality = rng.normal(3.0, 0.7, n_clips)
    table = pd.DataFrame(
        {
            "clip_id": ids,
            "audio": [f"wav/{clip}.wav" for clip in ids],
            "prompt": [f"tune number {n // _CLIPS_PER_PROMPT}" for n in range(n_clips)],
            "system_id": [f"system{n // _CLIPS_PER_SYSTEM}" for n in range(n_clips)],
            "split": rng.choice(["train", "dev", "test"], n_clips, p=[0.6, 0.2, 0.2]),
            "mi": _ratings(rng, quality),
            "ta": _ratings(rng, quality),
        }
    )
    clips = folder / "clips.csv"
    table.to_csv(clips, index=False)
    predictions = tuple(
        _write_predictions(folder / f"model{number}.csv", table, rng)
        for number in range(N_MODELS)
    )
    return Corpus(clips, predictions)


def _ratings(rng: np.random.Generator, quality: np.ndarray) -> np.ndarray:
    rated = quality + rng.normal(0.0, 0.4, len(quality))
    return rated.clip(1.0, 5.0).round(2)


def _write_predictions(
    path: Path, table: pd.DataFrame, rng: np.random.Generator
) -> Path:
    predictions = table[["clip_id"]].copy()
    for aspect in ("mi", "ta"):
        error = rng.normal(0.0, rng.uniform(0.4, 0.8), len(table))
        predictions[aspect] = (table[aspect] + error).clip(1.0, 5.0).round(4)
    predictions.to_csv(path, index=False)
    return path
