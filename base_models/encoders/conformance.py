"""Checks of what every encoder must do, on one that is loaded.

They serve the built-in encoders and those of other packages. An encoder may look right
on one clip: a layer left in training mode, a statistic over the batch or a random crop
shows only when the same item is encoded twice, beside different others.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from base_models.clips.audio import probe
from base_models.encoders.base import Encoder, state_digest
from base_models.encoders.specs import SPECS
from base_models.errors import ClipError, UsageError, some
from base_models.networks.standardisation import is_dead
from base_models.optional_libraries import LazyLibrary

if TYPE_CHECKING:
    import torch
else:
    torch = LazyLibrary("torch")

TOLERANCE = 1e-4
"""How much a batch may change an embedding, as a share of its largest number.

Kernels for other batch sizes add up in other orders.
"""
MAX_SECONDS = 30.0
"""Seconds that are read of a clip."""
NORMAL_SPREAD = (1e-2, 1e2)
"""Spread of a dimension that passes for one of normalised embeddings.

Joint models give vectors of length 1, whose dimensions spread a few hundredths.
"""


@dataclass(frozen=True)
class EmbeddingFigures:
    """What was measured of the embeddings of some items, over all of their frames.

    Parameters
    ----------
    frames, dim : int
        Size of the embeddings together.
    mean : float
        Of all finite numbers.
    spread : float
        Standard deviation over the frames of a typical dimension: the median over the
        dimensions that are not dead; 0 where all are.
    smallest_spread, largest_spread : float
        Of the dimensions that are not dead.
    dead : tuple of int
        Dimensions that are the same number in every frame of every item, but for
        rounding.
    infinite : tuple of int
        Dimensions with NaN or infinity.
    """

    frames: int
    dim: int
    mean: float
    spread: float
    smallest_spread: float
    largest_spread: float
    dead: tuple[int, ...]
    infinite: tuple[int, ...]

    def __str__(self) -> str:
        return (
            f"{self.frames} frames of {self.dim} dimensions: mean {self.mean:.3g}, "
            f"spread {self.spread:.3g} ({self.smallest_spread:.3g} to "
            f"{self.largest_spread:.3g}), {len(self.dead)} dimensions dead, "
            f"{len(self.infinite)} not finite"
        )


@dataclass(frozen=True)
class EncoderReport:
    """What `check_encoder` found.

    Parameters
    ----------
    signature : str
        Of the encoder: what its stored embeddings go by.
    problems : list of str
        A sentence for each; empty if the encoder is fit for use.
    figures : EmbeddingFigures or None
        None if its embeddings have other shapes than they must have.
    """

    signature: str
    problems: list[str]
    figures: EmbeddingFigures | None

    def __str__(self) -> str:
        lines = [f"{self.signature}: {len(self.problems)} problems", *self.problems]
        if self.figures is not None:
            lines.append(str(self.figures))
        return "\n".join(lines)


class _GeneratorStates(NamedTuple):
    """States of the global random generators."""

    torch_state: bytes
    python_state: tuple[object, ...]
    numpy_key: bytes
    numpy_position: int


def check_encoder(encoder: Encoder, items: Sequence[str]) -> EncoderReport:
    """List the problems of an encoder, and measure its embeddings.

    Parameters
    ----------
    encoder : Encoder
        As returned by `base_models.encoders.load_encoder`.
    items : sequence of str
        At least two usable paths or prompts, best of several lengths, and some of one
        length.

    Returns
    -------
    report : EncoderReport
        Its `problems` are empty if the encoder is fit for use.

    Raises
    ------
    UsageError
        If there are fewer than two items.
    """
    if len(items) < 2:
        raise UsageError("Checking an encoder takes at least two items.")

    problems = _check_facts(encoder)
    digest_before = state_digest(encoder)
    generators_before = _generator_states()

    prepared: dict[str, np.ndarray] = {}
    prepare_problems = []
    for item in items:
        try:
            prepared[item] = encoder.prepare(item)
        # An encoder of another package may raise anything.
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            prepare_problems.append(f"prepare fails on {item!r} ({reason})")
            continue
        prepare_problems += _check_prepared(encoder, item, prepared[item])
    problems += prepare_problems

    # Items that are not prepared well would only hide the cause in later problems.
    figures = None
    if not prepare_problems:
        try:
            alone = {item: encoder.encode([prepared[item]]) for item in items}
        # An encoder of another package may raise anything.
        except Exception as error:
            problems.append(f"encoding fails ({type(error).__name__}: {error})")
        else:
            problems += _check_embeddings(encoder, prepared, alone)
            figures = _measure(encoder, alone)
            problems += _check_figures(encoder, figures)

    if state_digest(encoder) != digest_before:
        problems.append("its parameters or buffers changed")
    if _generator_states() != generators_before:
        problems.append("it changed the state of a global random generator")

    problems += _check_refusal_of_bad_item(encoder)
    problems += _check_refusal_of_uneven_batch(encoder, list(prepared.values()))
    return EncoderReport(encoder.signature, problems, figures)


def _check_facts(encoder: Encoder) -> list[str]:
    problems = []
    if encoder.kind not in ("audio", "text"):
        problems.append(f"its kind is '{encoder.kind}', neither 'audio' nor 'text'")
    if encoder.kind == "audio" and not (encoder.sample_rate and encoder.frame_rate):
        problems.append("it states no sample_rate or no frame_rate")
    if not encoder.licence:
        problems.append("it states no licence")
    problems += _check_digest(encoder)
    if any(parameter.requires_grad for parameter in encoder.module.parameters()):
        problems.append("some of its parameters can be trained")
    return problems


def _check_digest(encoder: Encoder) -> list[str]:
    if not encoder.digest:
        # Of ours, only those without weights have none: their code has a version.
        is_built_in = encoder.name in {spec.name for spec in SPECS}
        if is_built_in and encoder.embedded:
            return []
        return [
            "it has no digest, so embeddings of other weights or code would pass as "
            "its own; load it with load_encoder, or pass digest="
        ]
    if not re.fullmatch("[0-9a-f]{64}", encoder.digest):
        return [
            f"its digest is {encoder.digest[:70]!r}, not the 64 lower-case hex digits "
            "of a SHA-256"
        ]
    return []


def _check_prepared(
    encoder: Encoder,
    item: str,
    array: object,
) -> list[str]:
    if not isinstance(array, np.ndarray) or array.ndim == 0 or len(array) == 0:
        return [f"prepare gives no array of at least one element for {item!r}"]
    if not np.isfinite(array).all():
        return [f"prepare gives numbers that are not finite for {item!r}"]
    if encoder.prepare(item).tobytes() != array.tobytes():
        return [f"prepare gives different arrays for {item!r} when called twice"]
    return []


def _check_embeddings(
    encoder: Encoder,
    prepared: Mapping[str, np.ndarray],
    alone: Mapping[str, np.ndarray],
) -> list[str]:
    problems = []
    for item, embedding in alone.items():
        problems += _check_shape(encoder, item, embedding)
        problems += _check_repeatable(
            encoder, item, prepared[item], embedding=embedding
        )

    # Batches and frame rates say nothing about an encoder whose shapes are wrong.
    if not problems:
        problems += _check_batches(encoder, prepared, alone)
    if encoder.kind == "audio" and not problems:
        problems += _check_frame_rate(encoder, alone)
    return problems


def _check_shape(
    encoder: Encoder,
    item: str,
    embedding: np.ndarray,
) -> list[str]:
    problems = []
    if embedding.dtype != np.float32:
        problems.append(f"embeddings are {embedding.dtype}, not float32")

    shape = embedding.shape
    has_frames = len(shape) == 3 and shape[1] > 0
    if not has_frames or shape[::2] != (1, encoder.dim):
        problems.append(
            f"the embedding of {item!r} has shape {shape}, not (1, T, {encoder.dim}), "
            "T > 0"
        )
    elif not np.isfinite(embedding).all():
        problems.append(f"the embedding of {item!r} is not finite")
    return problems


def _check_repeatable(
    encoder: Encoder,
    item: str,
    array: np.ndarray,
    embedding: np.ndarray,
) -> list[str]:
    # Somebody who trains a head on top of the encoder may switch all to training mode.
    encoder.module.train()
    again = encoder.encode([array])
    if again.tobytes() != embedding.tobytes():
        return [f"encoding {item!r} again gives other numbers"]
    return []


def _measure(
    encoder: Encoder, alone: Mapping[str, np.ndarray]
) -> EmbeddingFigures | None:
    """Measure embeddings; None if they are not rows of `dim` numbers."""
    shapes = [embedding.shape for embedding in alone.values()]
    if any(len(shape) != 3 or shape[2] != encoder.dim for shape in shapes):
        return None
    rows = [embedding[0] for embedding in alone.values()]
    frames = np.concatenate(rows).astype(np.float64)
    if not len(frames):
        return None

    finite = np.isfinite(frames).all(axis=0)
    spreads = frames[:, finite].std(axis=0)
    live = ~is_dead(spreads, np.abs(frames[:, finite]).max(axis=0))
    live_spreads = spreads[live] if live.any() else np.zeros(1)

    dimensions = np.arange(encoder.dim)
    return EmbeddingFigures(
        frames=len(frames),
        dim=encoder.dim,
        mean=float(frames[:, finite].mean()) if finite.any() else float("nan"),
        spread=float(np.median(live_spreads)),
        smallest_spread=float(live_spreads.min()),
        largest_spread=float(live_spreads.max()),
        dead=tuple(dimensions[finite][~live].tolist()),
        infinite=tuple(dimensions[~finite].tolist()),
    )


def _check_figures(encoder: Encoder, figures: EmbeddingFigures | None) -> list[str]:
    if figures is None:
        return []
    problems = []
    if figures.infinite:
        dimensions = some([str(dimension) for dimension in figures.infinite])
        problems.append(f"embeddings are not finite in dimensions {dimensions}")
    elif len(figures.dead) == figures.dim:
        problems.append("the embeddings of all items are the same")
    elif encoder.normalised and not _is_normal(figures.spread):
        low, high = NORMAL_SPREAD
        problems.append(
            f"it is said to be normalised, but its dimensions have a spread of "
            f"{figures.spread:.2g}, not {low:g} to {high:g}; leave normalised=False, "
            "so that base models standardise what it gives"
        )
    return problems


def _is_normal(spread: float) -> bool:
    low, high = NORMAL_SPREAD
    return low <= spread <= high


def _check_batches(
    encoder: Encoder,
    prepared: Mapping[str, np.ndarray],
    alone: Mapping[str, np.ndarray],
) -> list[str]:
    """Compare the embeddings of items in a batch with those of each item alone."""
    groups: dict[int, list[str]] = defaultdict(list)
    for item, array in prepared.items():
        groups[len(array)].append(item)

    problems = []
    for group in groups.values():
        # An item that no other equals in length makes a batch with itself.
        names = group if len(group) > 1 else group * 2
        batch = [prepared[item] for item in names]
        try:
            together = encoder.encode(batch)
        # An encoder of another package may raise anything.
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            problems.append(f"a batch of {len(batch)} fails ({reason})")
            continue

        each_alone = [alone[item] for item in names]
        problems += _compare_with_alone(together, each_alone)
    return problems


def _compare_with_alone(together: np.ndarray, alone: list[np.ndarray]) -> list[str]:
    problem = "items of one length do not give embeddings of one shape"
    shapes = {embedding.shape for embedding in alone}
    if len(shapes) > 1:
        return [problem]
    apart = np.concatenate(alone)
    if together.shape != apart.shape:
        return [problem]

    change = np.abs(together - apart).max()
    if change > TOLERANCE * np.abs(apart).max():
        return [f"a batch changes its members by up to {change:.2g}"]
    return []


def _check_frame_rate(encoder: Encoder, alone: Mapping[str, np.ndarray]) -> list[str]:
    if encoder.frame_rate is None:
        return ["it states no frame_rate"]

    problems = []
    for path, embedding in alone.items():
        frames = embedding.shape[1]
        seconds = min(probe(path).seconds, MAX_SECONDS)
        if encoder.padded:
            seconds = MAX_SECONDS
        # Encoders round the number of frames up or down.
        if abs(frames - seconds * encoder.frame_rate) > 1:
            problems.append(
                f"{seconds:.2f} s give {frames} frames; it states "
                f"{encoder.frame_rate:g} a second"
            )
    return problems


def _check_refusal_of_bad_item(encoder: Encoder) -> list[str]:
    # No path may hold a null character, and an empty prompt is none.
    bad_item = "\0" if encoder.kind == "audio" else ""
    try:
        encoder.prepare(bad_item)
    except ClipError:
        return []
    except Exception as error:
        return [
            f"prepare raises {type(error).__name__} for {bad_item!r}, not ClipError"
        ]
    return [f"prepare accepts {bad_item!r}"]


def _check_refusal_of_uneven_batch(
    encoder: Encoder, arrays: Sequence[np.ndarray]
) -> list[str]:
    # Items that all have one length cannot show it.
    others = [array for array in arrays if len(array) != len(arrays[0])]
    if not others:
        return []

    uneven_batch = [arrays[0], others[0]]
    try:
        encoder.encode(uneven_batch)
    except UsageError:
        return []
    return ["it accepts a batch of two lengths"]


def _generator_states() -> _GeneratorStates:
    # The legacy generator is exactly the one that a careless encoder would use.
    numpy_state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    return _GeneratorStates(
        torch_state=torch.get_rng_state().numpy().tobytes(),
        python_state=random.getstate(),
        numpy_key=numpy_state["key"].tobytes(),
        numpy_position=numpy_state["pos"],
    )
