"""What stored embeddings save in training, and what nine base models cost at
prediction: ratios measured in one run.
"""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from builders import clip_table, noises
from timing import timed

from base_models import encoders
from base_models.encoders import load_encoder
from base_models.encoders.base import prepare_audio
from base_models.encoders.store import EmbeddingStore
from base_models.training.neural_mos import NeuralMOS
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.scoring.score_clips import score_clips
from ensemble.training.training_setup import plan_models

EPOCHS, CLIPS, SECONDS = 20, 48, 5
RATE = 16_000  # as MusicEval


@pytest.fixture
def clips(tmp_path):
    """Noise of rising loudness by eight systems, and labels that follow it."""
    step = np.arange(CLIPS)
    sounds = noises(0.5 * (step + 1) / CLIPS, SECONDS, rate=RATE)
    prompts = ("loud drums", "a quiet tune")
    options = {"systems": 8, "prompts": prompts, "rate": RATE}
    return clip_table(tmp_path, sounds, **options, mos=1 + 4 * step / CLIPS)


@pytest.mark.parametrize("full_size", [False, True], ids=["tiny", "muq"])
def bench_training_from_stored_embeddings(
    clips, tmp_path, tiny_encoders, full_size, monkeypatch
):
    """Against what the published code does: every clip through the frozen encoder again
    in every epoch.
    """
    epochs, folder = (2 if full_size else EPOCHS), tmp_path / "embeddings"
    spec = "muq" if full_size else f"muq={tiny_encoders['muq']}"
    if full_size:
        clips = _full_size_muq(monkeypatch, clips, tmp_path)
    settings = {"max_epochs": epochs, "patience": epochs, "learning_rate": 1e-3}
    encoder = load_encoder(spec)

    def stored():
        NeuralMOS(
            settings=settings, audio_encoder=spec, store=folder, device="cpu"
        ).fit(clips, clips["mos"])

    def recomputed():
        def again(_):
            EmbeddingStore(None).fill(
                encoder, dict(zip(clips["clip_id"], clips["audio"], strict=True))
            )

        model = NeuralMOS(
            settings=settings,
            audio_encoder=spec,
            store=folder,
            device="cpu",
            on_epoch=again,
        )
        model.fit(clips, clips["mos"])

    stored()  # fills the store; imports and first-call costs
    fast, _ = timed(stored)
    slow, _ = timed(recomputed)
    size = "full-size" if full_size else "tiny"
    print(
        f"\n{len(clips)} clips, {size} MuQ, {epochs} epochs: stored embeddings "
        f"{slow / fast:.1f} x as fast"
    )


@pytest.mark.parametrize("full_size", [False, True], ids=["logmel", "muq"])
def bench_nine_base_models_against_one(clips, tmp_path, full_size, monkeypatch):
    """Scoring new clips, encoders included; with the full-size MuQ on 30 s clips, as in
    real use.
    """
    if full_size:
        clips = _full_size_muq(monkeypatch, clips, tmp_path)
    name = "muq" if full_size else "logmel"
    settings = {"max_epochs": 1, "learning_rate": 1e-3}
    store = EmbeddingStore(tmp_path / "embeddings")
    named = [
        (
            f"{preset}-s{seed}",
            NeuralMOS(
                preset, settings, name, random_state=seed, store=store, device="cpu"
            ),
        )
        for preset, seed in plan_models(None, 5)
    ]
    fitted = [
        (model_name, model.fit(clips, clips["mos"])) for model_name, model in named
    ]
    stacks = {}
    for count in (1, 9):
        stack = StackedMOS(fitted[:count], "mean", "prefit", None)
        for _, model in stack.estimators:
            model.trained_on_ = model.selected_on_ = (
                frozenset()
            )  # measured for time alone
        stacks[count] = stack.fit(clips, clips["mos"])

    def score(count):
        score_clips(stacks[count], clips, EmbeddingStore(None))

    score(1)
    one, nine = (
        min(timed(lambda c=count: score(c))[0] for _ in range(1 if full_size else 3))
        for count in (1, 9)
    )
    print(
        f"\n{len(clips)} clips, {name}: nine base models take {nine / one:.2f} x the "
        f"time of one"
    )


def _long(path, seed):
    soundfile.write(
        path, np.random.default_rng(seed).normal(size=30 * RATE) * 0.1, RATE
    )
    return str(path)


def _full_size_muq(monkeypatch, clips, folder):
    """Four clips of 30 s, and a random MuQ of the released size under its name."""
    from bench_encoders import full_size_muq

    encoder = full_size_muq()
    object.__setattr__(encoder, "prepare", prepare_audio(encoder, 4000))
    monkeypatch.setitem(encoders._loaded, ("muq", None, "cpu"), encoder)
    return clips.iloc[:4].assign(
        audio=[_long(folder / f"long{i}.wav", i) for i in range(4)]
    )
