"""What every encoder must do, checked on one that is loaded; for ours, and for those of other packages.

The trap is that an encoder may look right on one clip: a layer left in train mode, a statistic over the batch, or a
random crop only shows when the same thing is asked twice, in other company.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch

from base_models.clips.audio import probe
from base_models.encoders.base import Encoder, state_digest
from base_models.errors import ClipError, UsageError

TOLERANCE = 1e-4
"""Of the embedding's largest number: how much company may change, by other sums in other orders."""
MAX_SECONDS = 30.0


def check_encoder(encoder: Encoder, items: Sequence[str]) -> list[str]:
    """Problems of an encoder, each in one sentence; none when it is fit for use.

    Parameters
    ----------
    encoder : as `base_models.encoders.load_encoder` returns it
    items : at least two usable items of its kind, paths or prompts, best of several lengths and some of one length
    """
    if len(items) < 2:
        raise UsageError("Checking an encoder takes at least two items.")
    problems = _facts(encoder)
    state, seeds = state_digest(encoder), _generators()
    prepared = {}
    for item in items:
        try:
            prepared[item] = encoder.prepare(item)
        except Exception as error:
            problems.append(
                f"prepare fails on {item!r} ({type(error).__name__}: {error})"
            )
            continue
        problems += _prepared(encoder, item, prepared[item])
    if not problems:
        alone = {item: encoder.encode([array]) for item, array in prepared.items()}
        for item, embedding in alone.items():
            problems += _embedding(encoder, item, embedding) + _repeats(
                encoder, prepared[item], embedding, item
            )
        problems += [] if problems else _company(encoder, prepared, alone)
        problems += (
            _rate(encoder, alone) if encoder.kind == "audio" and not problems else []
        )
    if state_digest(encoder) != state:
        problems.append("its parameters or buffers changed")
    if _generators() != seeds:
        problems.append("it moved a global random generator")
    return problems + _refusals(encoder, list(prepared.values()))


def _facts(encoder: Encoder) -> list[str]:
    problems = []
    if encoder.kind not in ("audio", "text"):
        problems.append(f"its kind is '{encoder.kind}', neither 'audio' nor 'text'")
    if encoder.kind == "audio" and not (encoder.sample_rate and encoder.frame_rate):
        problems.append("it states no sample_rate or no frame_rate")
    if not encoder.licence:
        problems.append("it states no licence")
    if not encoder.embedded and len(encoder.digest) != 64:
        problems.append(
            "it has weights and no digest of them, so embeddings of other weights would pass as its own"
        )
    if any(parameter.requires_grad for parameter in encoder.module.parameters()):
        problems.append("some of its parameters can be trained")
    return problems


def _prepared(encoder: Encoder, item: str, array) -> list[str]:
    if not isinstance(array, np.ndarray) or array.ndim < 1 or len(array) < 1:
        return [f"prepare gives no array of at least one element for {item!r}"]
    if not np.isfinite(array).all():
        return [f"prepare gives numbers that are not finite for {item!r}"]
    if encoder.prepare(item).tobytes() != array.tobytes():
        return [f"prepare gives something else when asked again for {item!r}"]
    return []


def _embedding(encoder: Encoder, item: str, embedding: np.ndarray) -> list[str]:
    problems = []
    if embedding.dtype != np.float32:
        problems.append(f"embeddings are {embedding.dtype}, not float32")
    if (
        embedding.ndim != 3
        or embedding.shape[::2] != (1, encoder.dim)
        or embedding.shape[1] < 1
    ):
        problems.append(
            f"the embedding of {item!r} has shape {embedding.shape}, not (1, T, {encoder.dim}), T > 0"
        )
    elif not np.isfinite(embedding).all():
        problems.append(f"the embedding of {item!r} is not finite")
    return problems


def _repeats(
    encoder: Encoder, array: np.ndarray, embedding: np.ndarray, item: str
) -> list[str]:
    encoder.module.train()  # as somebody might who trains a head on top
    again = encoder.encode([array])
    return (
        []
        if again.tobytes() == embedding.tobytes()
        else [f"encoding {item!r} again gives other numbers"]
    )


def _company(
    encoder: Encoder, prepared: dict[str, np.ndarray], alone: dict[str, np.ndarray]
) -> list[str]:
    """Items of one length, in a batch and each alone."""
    groups = defaultdict(list)
    for item, array in prepared.items():
        groups[len(array)].append(item)
    problems = []
    for group in groups.values():
        names = group if len(group) > 1 else group * 2
        try:
            together = encoder.encode([prepared[item] for item in names])
        except Exception as error:
            problems.append(
                f"a batch of {len(names)} fails ({type(error).__name__}: {error})"
            )
            continue
        apart = (
            np.concatenate([alone[item] for item in names])
            if len({alone[i].shape for i in names}) == 1
            else None
        )
        if apart is None or together.shape != apart.shape:
            problems.append("items of one length do not give embeddings of one shape")
        elif np.abs(together - apart).max() > TOLERANCE * np.abs(apart).max():
            problems.append(
                f"a batch changes its members by up to {np.abs(together - apart).max():.2g}"
            )
    return problems


def _rate(encoder: Encoder, alone: dict[str, np.ndarray]) -> list[str]:
    problems = []
    for path, embedding in alone.items():
        seconds = min(probe(path).seconds, MAX_SECONDS)
        if abs(embedding.shape[1] - seconds * encoder.frame_rate) > 1:
            problems.append(
                f"{seconds:.2f} s give {embedding.shape[1]} frames; it states {encoder.frame_rate:g} a second"
            )
    return problems


def _refusals(encoder: Encoder, arrays: list[np.ndarray]) -> list[str]:
    """What must be refused: an item that cannot be used, and a batch of several lengths."""
    problems = []
    bad = "\0" if encoder.kind == "audio" else ""
    try:
        encoder.prepare(bad)
        problems.append(f"prepare takes {bad!r}")
    except ClipError:
        pass
    except Exception as error:
        problems.append(
            f"prepare answers {bad!r} with {type(error).__name__}, not with ClipError"
        )
    uneven = [
        array
        for i, array in enumerate(arrays)
        if i == 0 or len(array) != len(arrays[0])
    ][:2]
    if len(uneven) == 2:
        try:
            encoder.encode(uneven)
            problems.append("it takes a batch of two lengths")
        except UsageError:
            pass
    return problems


def _generators() -> tuple:
    legacy = np.random.get_state()
    return (
        torch.get_rng_state().numpy().tobytes(),
        random.getstate(),
        legacy[1].tobytes(),
        legacy[2],
    )
