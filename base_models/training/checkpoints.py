"""Training checkpoints: tensors and a little JSON in one safetensors file, with a digest over both.

One file, so that weights, optimizer and history can never be of different epochs. A damaged checkpoint is not
repaired: it is dropped, and training starts again from the beginning, with the same result.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
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


def _digest(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.data if array.size else b"")
    return np.frombuffer(digest.digest(), np.uint8)


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], state: Any) -> None:
    """Write `tensors` and the JSON value `state` atomically to `path`."""
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    arrays["state"] = np.frombuffer(to_json(state), np.uint8)
    write_tensors(path, arrays | {"digest": _digest(arrays)})


def load_checkpoint(path: Path, identity: str) -> tuple[dict[str, Tensor], Any] | None:
    """Tensors and state, or None when there is no checkpoint, it is damaged, or it belongs to another run.

    Parameters
    ----------
    identity : str, must equal ``state["identity"]``: what the run was (data, config, seed)
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
            "%s belongs to another run (data, config or seed differ); training starts from the beginning.",
            path,
        )
        return None
    return {
        name: torch.from_numpy(array.copy()) for name, array in arrays.items()
    }, state


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names under a prefix.

    >>> prefixed("best", {"w": 1})
    {'best.w': 1}
    """
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `prefixed`: the tensors below a prefix, by their own names."""
    return {
        name.removeprefix(f"{prefix}."): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{prefix}.")
    }


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimizer as flat named tensors."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{key}": value
        for index, values in state.items()
        for key, value in values.items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Put back what `optimizer_tensors` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".")
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
