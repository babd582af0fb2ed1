"""Clips whose embeddings are given as arrays, for base models on pooled embeddings."""

import numpy as np
import pandas as pd

from base_models.networks.batches import EmbeddedClips
from base_models.pooled.pooled_mos import PooledMOS


def given_clips(n=24, dims=5, *, seed=0, frames=(3, 9), tokens=(2, 5), systems=4):
    """A table of clips with embeddings in the columns ``frames`` and ``tokens``.

    The label ``mi`` follows the first dimension of the frames, and ``ta`` that of the
    tokens, with some noise.
    """
    rng = np.random.default_rng(seed)

    def embeddings(lengths):
        return [
            (rng.normal(size=dims) + 0.3 * rng.normal(size=(length, dims))).astype(
                np.float32
            )
            for length in rng.integers(lengths[0], lengths[1] + 1, n)
        ]

    table = pd.DataFrame(
        {
            "clip_id": [f"c{k:02d}" for k in range(n)],
            "system_id": [f"s{k % systems}" for k in range(n)],
            "prompt": [f"prompt {k % 6}" for k in range(n)],
            "audio": "",
        }
    )
    table["frames"] = pd.Series(embeddings(frames), dtype=object)
    table["tokens"] = pd.Series(embeddings(tokens), dtype=object)
    for aspect, column in (("mi", "frames"), ("ta", "tokens")):
        means = np.array([array.mean(axis=0)[0] for array in table[column]])
        labels = 3 + 0.8 * means + 0.1 * rng.normal(size=n)
        table[aspect] = labels.clip(1.1, 4.9)
    return table


def embedded(table, with_text=True):
    """The embeddings of such a table."""
    tokens = list(table["tokens"]) if with_text else None
    return EmbeddedClips(list(table["frames"]), tokens)


def with_frames(table, change):
    """The table with each array of frames replaced by what `change` makes of it."""
    frames = [change(array) for array in table["frames"]]
    return table.assign(frames=pd.Series(frames, index=table.index, dtype=object))


def read_given(monkeypatch, dims=5):
    """Let `PooledMOS` take embeddings from the table instead of from encoders."""

    def embed(self, X):
        return None, embedded(X, with_text=any(self.needs_text_))

    def facts(self):
        kinds = ("audio", "text") if any(self.needs_text_) else ("audio",)
        of_kind = {"signature": "none", "dim": dims, "licence": "", "frame_rate": 10.0}
        names = {"audio": "logmel", "text": "hashed_text"}
        return {kind: {"name": names[kind], **of_kind} for kind in kinds}

    monkeypatch.setattr(PooledMOS, "embed", embed)
    monkeypatch.setattr(PooledMOS, "_encoder_facts", facts)
