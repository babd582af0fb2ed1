"""A small listening test in files of every kind that commands read, and two stacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from commands import call

RATE = 16_000
N_SYSTEMS = 6
N_PROMPTS = 8


def write_small_corpus(folder: Path) -> None:
    """Write clips, labels, ratings, predictions, and a stack of predictions.

    ``wav/`` has the audio; ``clips.csv`` names it with systems, prompts and labels;
    ``labels.csv`` has no audio; ``ratings.csv`` a row per rating; ``m1.csv`` and
    ``m2.csv`` are predictions; ``art/`` has the stack of these two.

    Parameters
    ----------
    folder : is there, and empty
    """
    rng = np.random.default_rng(0)
    clips = [
        (f"S{s:03d}_P{p:03d}", f"S{s:03d}", f"prompt {p}")
        for s in range(N_SYSTEMS)
        for p in range(N_PROMPTS)
    ]
    table = pd.DataFrame(clips, columns=["clip_id", "system_id", "prompt"])
    of_system = np.repeat(rng.uniform(1.5, 4.5, N_SYSTEMS), N_PROMPTS)
    labels = np.clip(of_system + rng.normal(0, 0.4, (2, len(clips))), 1, 5).round(2)
    table = table.assign(mi=labels[0], ta=labels[1])
    table.to_csv(folder / "labels.csv", index=False)

    (folder / "wav").mkdir()
    for k, clip in enumerate(table["clip_id"]):
        time = np.arange(RATE) / RATE
        tone = 0.3 * np.sin(2 * np.pi * (200 + 40 * k) * time)
        sound = tone + 0.01 * rng.normal(size=RATE)
        soundfile.write(folder / "wav" / f"{clip}.wav", sound, RATE)
    audio = [f"wav/{clip}.wav" for clip in table["clip_id"]]
    table.assign(audio=audio).to_csv(folder / "clips.csv", index=False)

    for name, noise in (("m1", 0.3), ("m2", 0.6)):
        scores = np.clip(labels + rng.normal(0, noise, labels.shape), 1, 5).round(3)
        scored = table.assign(mi=scores[0], ta=scores[1])
        scored.to_csv(folder / f"{name}.csv", index=False)

    ratings = [
        (
            clip,
            system,
            f"r{rater}",
            *np.clip(np.round(pair + rng.normal(0, 0.6, 2)), 1, 5),
        )
        for rater in range(4)
        for clip, system, pair in zip(
            table["clip_id"], table["system_id"], labels.T, strict=True
        )
    ]
    columns = ["clip_id", "system_id", "rater_id", "mi", "ta"]
    pd.DataFrame(ratings, columns=columns).to_csv(folder / "ratings.csv", index=False)


def fit_stack_of_predictions(folder: Path) -> None:
    """Stack the predictions of a small corpus, into ``art/`` beside them."""
    words = ["--predictions", folder / "m1.csv", folder / "m2.csv"]
    words += ["--labels", folder / "labels.csv", "--artifacts", folder / "art"]
    code, _, said = call("fit_meta", *words)
    assert code == 0, said


def fit_small_stack(folder: Path) -> None:
    """Train one quick base model on a small corpus and stack it, into ``trained/``."""
    words = ["--data", folder / "clips.csv", "--models", "pooled_ridge"]
    words += ["--audio-encoder", "logmel", "--text-encoder", "hashed_text"]
    words += ["--artifacts", folder / "trained", "--jobs", "1"]
    code, _, said = call("fit_base", *words)
    assert code == 0, said
    code, _, said = call("fit_meta", "--artifacts", folder / "trained")
    assert code == 0, said
