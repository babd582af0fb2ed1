"""Encoder: an encoder's facts, its weights and its two steps, `prepare` and `encode`.

The trap it guards against: a module whose gradients are off is not yet frozen. In train mode dropout is random and
BatchNorm moves its running statistics at every call (as in DORA-MOS's published code). So every call goes back to
eval mode first, and computes in full float32 whatever the caller has switched on.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn

from base_models.clips.audio import load_audio
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.weights import WeightFiles
from base_models.errors import ClipError, UsageError

log = logging.getLogger(__name__)


class Piece(NamedTuple):
    """What one row of a prompt's embedding stands for: its text, and where in the prompt; an empty span is nowhere."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoder(EncoderSpec):
    """A loaded encoder: its spec, and what is needed to run it.

    Parameters
    ----------
    module : torch module, a batch (B, L, ...) to embeddings (B, T, dim)
    prepare : function from one item (path or prompt) to the array (L, ...) that `module` takes; raises `ClipError`
    pieces : function from a prompt to the `Piece` of each row of its embedding, of a text encoder that has one row per
        token or word; None where a row stands for the whole prompt
    digest : str, SHA-256 of the weight files; empty for an embedded encoder
    device : str, where it computes
    """

    module: nn.Module
    prepare: Callable[[str], np.ndarray]
    pieces: Callable[[str], list[Piece]] | None = None
    digest: str = ""
    device: str = "cpu"

    def __post_init__(self):
        self.module.requires_grad_(False).eval().to(self.device)

    @property
    def signature(self) -> str:
        """Names the outputs: two encoders with the same signature give the same embeddings. Fit for a folder name."""
        return "-".join(filter(None, [self.name, f"v{self.version}", self.digest[:16]]))

    def encode(self, batch: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Embeddings of prepared items.

        Parameters
        ----------
        batch : B prepared items, all of the same length

        Returns
        -------
        embeddings : float32 array of shape (B, T, dim)
        """
        lengths = {len(item) for item in batch}
        if len(lengths) != 1:
            raise UsageError(
                f"A batch holds items of one length, so that none is padded; got {sorted(lengths)}."
            )
        self.module.eval()
        with torch.inference_mode(), full_precision(self.device):
            return (
                self.module(torch.from_numpy(np.stack(batch)).to(self.device))
                .float()
                .cpu()
                .numpy()
            )


@contextlib.contextmanager
def full_precision(device: str):
    """Float32 throughout: no autocast, no TF32 convolutions (which torch allows by default), repeatable kernels."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.autocast(torch.device(device).type, enabled=False))
        if torch.device(device).type == "cuda":
            stack.enter_context(
                torch.backends.cudnn.flags(
                    enabled=True, deterministic=True, allow_tf32=False
                )
            )
        yield


def state_digest(encoder: Encoder) -> str:
    """SHA-256 over every parameter and buffer, to show that nothing moved."""
    digest = hashlib.sha256(encoder.signature.encode())
    for name, tensor in [
        *encoder.module.named_parameters(),
        *encoder.module.named_buffers(),
    ]:
        array = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype} {array.shape} ".encode() + array.tobytes())
    return digest.hexdigest()


def prepare_audio(spec: EncoderSpec, shortest: int) -> Callable[[str], np.ndarray]:
    """The `prepare` of an audio encoder: path to samples (L,), at least `shortest` of them."""

    def prepare(path: str) -> np.ndarray:
        samples = load_audio(path, spec.sample_rate)
        if len(samples) < shortest:
            seconds, least = (
                len(samples) / spec.sample_rate,
                shortest / spec.sample_rate,
            )
            raise ClipError(
                f"too short: {seconds:.3f} s, and '{spec.name}' needs at least {least:.3f} s"
            )
        return samples

    return prepare


def assembled(
    files: WeightFiles,
    what: str,
    make: Callable[[dict], Any],
    name: str = "config.json",
) -> Any:
    """What `make` builds from a config, its random initial weights drawn without moving torch's generator.

    Parameters
    ----------
    what : the architecture, for the message
    make : function of the parsed config
    name : which config

    Raises
    ------
    UsageError
        when the config is not one of this architecture.
    """
    config = files.json(name)
    try:
        with torch.random.fork_rng(
            devices=[]
        ):  # random initial weights, replaced at once
            return make(config)
    except (
        TypeError,
        KeyError,
        AttributeError,
        ValueError,
        RuntimeError,
        StrictDataclassError,
    ) as error:
        reason = " ".join(str(error).split())[:300]
        raise UsageError(
            f"{files.paths[name]} does not describe a {what} model ({type(error).__name__}: {reason})."
        ) from error


def check_prompt(prompt: str) -> str:
    """`prompt` itself, or why it cannot be used."""
    if not isinstance(prompt, str) or not prompt.strip():
        raise ClipError("no prompt")
    return prompt


def say_cut(prompt: str, limit: int, what: str) -> None:
    """Log that only the start of a prompt is read."""
    start = " ".join(prompt[:36].split())
    log.warning(
        "The prompt '%s…' has more than %d %s; what follows them is not read.",
        start,
        limit,
        what,
    )
