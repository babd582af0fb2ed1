"""Training checkpoints: tensors and a little JSON in one safetensors file.

One file, so that weights, optimizer and history can never be of different epochs; a
digest covers both. A damaged checkpoint is not repaired: it is dropped, and training
starts again from the beginning, with the same result.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from base_models.errors import DamagedArtifact
from base_models.files import (
    from_json,
    parse_tensors,
    read_bytes,
    to_json,
    write_tensors,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckpointFile:
    """Where a training run keeps its checkpoint, and which run it is.

    Parameters
    ----------
    path : Path
        File that is written after every epoch and that training resumes from.
    identity : str
        What the run is (data, config, seed). A checkpoint of another identity is
        ignored.
    """

    path: Path
    identity: str = ""


def _digest(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """SHA-256 over names, types, shapes and numbers, as an array of bytes."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        # An empty array has no buffer that could be read.
        digest.update(array.data if array.size else b"")
    return np.frombuffer(digest.digest(), np.uint8)


def save_checkpoint(
    path: Path,
    tensors: Mapping[str, Tensor],
    state: Any,
) -> None:
    """Write `tensors` and the JSON value `state` atomically to `path`."""
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    arrays["state"] = np.frombuffer(to_json(state), np.uint8)
    # The digest is computed last, over the state as well.
    arrays["digest"] = _digest(arrays)
    write_tensors(path, arrays)


def load_checkpoint(path: Path, identity: str) -> tuple[dict[str, Tensor], Any] | None:
    """Read the tensors and the state that `save_checkpoint` wrote.

    Parameters
    ----------
    path : Path
    identity : str
        What the run is (data, config, seed); must equal ``state["identity"]``.

    Returns
    -------
    tensors, state : dict of str to Tensor and a JSON value, or None
        None when there is no checkpoint, it is damaged, or it belongs to another run;
        the last two are logged.
    """
    if not path.exists():
        return None

    try:
        arrays = parse_tensors(read_bytes(path), str(path))
        digest = arrays.pop("digest", None)
        if digest is None or not np.array_equal(digest, _digest(arrays)):
            raise DamagedArtifact(f"{path} was changed after it was written.")
        state = from_json(arrays.pop("state").tobytes(), str(path))
    except DamagedArtifact as error:
        log.warning("%s Training starts from the beginning.", error)
        return None

    if state["identity"] != identity:
        log.warning(
            "%s belongs to another run (data, config or seed differ); training starts "
            "from the beginning.",
            path,
        )
        return None

    # The arrays are views of the file's bytes, which cannot be written to.
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    return tensors, state


def add_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put the names of `tensors` under a prefix.

    >>> add_prefix("best", {"w": 1})
    {'best.w': 1}
    """
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def strip_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors below a prefix, by their own names; undoes `add_prefix`."""
    start = f"{prefix}."
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimizer as tensors named ``<parameter>.<key>``."""
    tensors = {}
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            tensors[f"{index}.{key}"] = value
    return tensors


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Put back the state that `optimizer_tensors` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    # State is kept by the parameter's number, which is an int to torch.
    for name, tensor in tensors.items():
        index, key = name.split(".")
        state.setdefault(int(index), {})[key] = tensor

    # Learning rate and the like come from the config, so the optimizer's own stay.
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
