"""Builders of networks' inputs and of base models that are quick to train."""

import numpy as np

from base_models.networks.batches import EmbeddedClips
from base_models.training.neural_mos import NeuralMOS
from base_models.training.task import TrainingTask

AUDIO_WIDTH = 16
TEXT_WIDTH = 8


def embedded_clips(lengths, *, widths=(AUDIO_WIDTH, TEXT_WIDTH), seed=0):
    """Random embeddings, read-only as an embedding store hands them out.

    Parameters
    ----------
    lengths : number of frames and of tokens of each clip
    widths : of a frame and of a token
    """
    rng = np.random.default_rng(seed)
    audio_width, text_width = widths
    frames = [rng.normal(size=(length, audio_width)) for length, _ in lengths]
    tokens = [rng.normal(size=(length, text_width)) for _, length in lengths]
    return EmbeddedClips(_stored(frames), _stored(tokens))


def training_task(n=16, noise=0.0, **changes):
    """Clips to train on, three quarters of them, and to validate on.

    The first aspect follows the level of a clip's frames, the second that of its
    tokens. Clip k has 1 + k % 6 frames and 2 + k % 3 tokens.

    Parameters
    ----------
    noise : of the labels
    changes : arguments of `TrainingTask` that are to be others
    """
    rng = np.random.default_rng(1)
    level = rng.uniform(-1, 1, (n, 2))
    frames = []
    tokens = []
    for k in range(n):
        frame_noise = rng.normal(size=(1 + k % 6, AUDIO_WIDTH))
        token_noise = rng.normal(size=(2 + k % 3, TEXT_WIDTH))
        frames.append(level[k, 0] + 0.3 * frame_noise)
        tokens.append(level[k, 1] + 0.3 * token_noise)
    scores = np.clip(3 + 1.8 * level + noise * rng.normal(size=(n, 2)), 1, 5)
    trained_on = 3 * n // 4
    parts = {
        "scores": scores,
        "weights": np.ones(n),
        "train": list(range(trained_on)),
        "validation": list(range(trained_on, n)),
    }
    clips = EmbeddedClips(_stored(frames), _stored(tokens))
    return TrainingTask(clips, **(parts | changes))


def loss_of(criterion, logits, scores, histograms=None):
    """The loss of each clip, from its score and the histogram of its ratings."""
    return criterion.loss(logits, criterion.targets(scores, histograms))


def _stored(arrays):
    """The arrays in half precision, and not to be written to."""
    stored = [array.astype(np.float16) for array in arrays]
    for array in stored:
        array.flags.writeable = False
    return stored


def embedded_model(preset="dora", settings=None, **params):
    """A base model on the embedded encoders that is trained for two epochs.

    Parameters
    ----------
    settings : further settings that differ from the preset
    params : further arguments of `NeuralMOS`
    """
    quick = {"max_epochs": 2} | (settings or {})
    encoders = {"audio_encoder": "logmel", "text_encoder": "hashed_text"}
    return NeuralMOS(preset, quick, **({"device": "cpu"} | encoders | params))


def weights_of(model):
    """The weights of a fitted base model, as the bytes that are saved."""
    return model.to_files()["weights.safetensors"]
