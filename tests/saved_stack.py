"""A small saved stack on disk, and the command that scores clips with it."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from builders import clip_table, tones
from commands import call
from tiny_networks import embedded_model

from base_models.encoders.store import EmbeddingStore
from ensemble.estimator.stacked_mos import StackedMOS


@dataclass(frozen=True)
class Scored:
    """A small saved stack, clips, and what the command wrote of them."""

    folder: Path
    clips: pd.DataFrame
    art: Path
    tmp: Path

    def table(self, clips=None, **columns):
        """A file of clips, by default of the first five, with more columns."""
        clips = self.clips[:5] if clips is None else clips
        clips.assign(**columns).to_csv(self.tmp / "clips.csv", index=False)
        return self.tmp / "clips.csv"

    def predict(self, *words):
        return call("predict_mos", *self.words(*words))

    def words(self, *words):
        return [*words, "--stack", self.folder, "--artifacts", self.art]

    def scores(self, *words):
        """What the command wrote to standard output, cell by cell."""
        code, out, err = self.predict(*words, "-o", "-")
        assert code in (0, 3), err
        return pd.read_csv(io.StringIO(out), dtype=str, keep_default_na=False), err


def saved_stack(root):
    """A stack of one model on 24 clips of half a second, in a new folder."""
    (root / "clips").mkdir()
    clips = clip_table(root / "clips", tones(24, noise=0.01))
    labels = np.random.default_rng(1).uniform(1, 5, (24, 2))
    store = EmbeddingStore(root / "store")
    model = embedded_model(random_state=0, text_aspects=["ta"], store=store)
    stack = StackedMOS([("dora-s0", model)], cv=0.5)
    stack.fit(clips, pd.DataFrame(labels, columns=["mi", "ta"])).save(root / "stack")
    return Scored(root / "stack", clips, root / "art", root)
