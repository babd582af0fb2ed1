"""A loaded encoder: facts, weights, and the two steps `prepare` and `encode`.

Nothing about a loaded encoder changes: its weights are frozen, it always runs in
evaluation mode, and it computes in its own precision whatever the caller has set.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from base_models.clip_status import NO_PROMPT, TOO_SHORT
from base_models.clips.audio import load_audio
from base_models.encoders.memory import (
    is_out_of_memory,
    out_of_memory_error,
    release_memory,
)
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.weights import WeightFiles
from base_models.errors import ClipError, UsageError
from base_models.files import sha256
from base_models.mono_rules import MIX
from base_models.optional_libraries import LazyLibrary
from base_models.precision import FLOAT32, signature_part
from base_models.precision.modes import computing_in

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = LazyLibrary("torch")

Model = TypeVar("Model")

log = logging.getLogger(__name__)


class Piece(NamedTuple):
    """The part of a prompt that one row of its embedding stands for.

    The row of a special token stands for no part of the prompt: its span is empty.
    """

    text: str
    start: int
    end: int


@dataclass(
    frozen=True,
    kw_only=True,
    eq=False,
)
class Encoder(EncoderSpec):
    """A loaded encoder: its spec, and what is needed to run it.

    Parameters
    ----------
    module : torch module
        Maps a batch (B, L, ...) to embeddings (B, T, dim).
    prepare : callable
        Maps one item (path or prompt) to the array (L, ...) that `module` takes. It
        raises `ClipError` for an item that cannot be used.
    pieces : callable or None
        Maps a prompt to the `Piece` of each row of its embedding. None for an audio
        encoder, and for a text encoder whose one row stands for the whole prompt.
    digest : str
        SHA-256 of the weight files; empty for a built-in encoder without weights. That
        of another package also covers what it ships, see `package_digest`.
    device : str
        Device that computes.
    precision : {"float32", "tf32", "bfloat16"}
        What it computes in, see `base_models.precision`. Embeddings are float32.
    """

    module: nn.Module
    prepare: Callable[[str], np.ndarray]
    pieces: Callable[[str], list[Piece]] | None = None
    digest: str = ""
    device: str = "cpu"
    precision: str = FLOAT32

    def __post_init__(self) -> None:
        self.module.requires_grad_(False).eval().to(self.device)

    @classmethod
    def from_spec(
        cls,
        spec: EncoderSpec,
        *,
        module: nn.Module,
        prepare: Callable[[str], np.ndarray],
        pieces: Callable[[str], list[Piece]] | None = None,
        dim: int | None = None,
        digest: str = "",
        device: str = "cpu",
    ) -> Encoder:
        """Build the encoder that a spec describes.

        `dim` is the width that the weights really have; by default that of the spec.
        The other parameters are those of the class.
        """
        facts = dict(vars(spec))
        if dim is not None:
            facts["dim"] = dim
        return cls(
            **facts,
            module=module,
            prepare=prepare,
            pieces=pieces,
            digest=digest,
            device=device,
        )

    @property
    def signature(self) -> str:
        """Name of the outputs, fit for a folder name.

        Two encoders with the same signature give the same embeddings: but for last
        digits on other machines, or for what bfloat16 rounds away.
        """
        # It names folders of stored embeddings: a change would orphan all of them.
        parts = [self.name, f"v{self.version}"]
        if self.digest:
            parts.append(self.digest[:16])
        if self.mono != MIX:
            parts.append(self.mono)
        if self.precision != FLOAT32:
            parts.append(signature_part(self.precision))
        return "-".join(parts)

    def encode(self, batch: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Embed prepared items.

        Parameters
        ----------
        batch : sequence of B arrays of shape (L, ...)
            Prepared items of one length.

        Returns
        -------
        embeddings : float32 array of shape (B, T, dim)

        Raises
        ------
        UsageError
            If the items differ in length.
        """
        items = list(batch)
        lengths = {len(item) for item in items}
        if len(lengths) != 1:
            raise UsageError(
                "A batch must hold items of one length, since none is padded; "
                f"got lengths {sorted(lengths)}."
            )

        return self._embed(torch.from_numpy(np.stack(items)))

    def run(self, inputs: torch.Tensor) -> torch.Tensor:
        """Embed a batch that is on the encoder's device already.

        Parameters
        ----------
        inputs : tensor of shape (B, L, ...)
            Prepared items of one length.

        Returns
        -------
        embeddings : float32 tensor of shape (B, T, dim), on the device
            It may still be computed: nothing here waits for a device.
        """
        # Gradients being off does not freeze a module: in training mode dropout is
        # random and BatchNorm moves its statistics, and a caller may have set it.
        self.module.eval()
        with torch.inference_mode(), computing_in(self.precision, self.device):
            embeddings: torch.Tensor = self.module(inputs)
            return embeddings.float()

    def _embed(self, inputs: torch.Tensor) -> np.ndarray:
        """Embed a batch, in halves where the device has no memory for the whole."""
        try:
            return self.run(inputs.to(self.device)).cpu().numpy()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            refusal = None
            if len(inputs) == 1:
                refusal = out_of_memory_error(self.name, self.device)
        # Outside of the handler, as its traceback holds what has filled the memory.
        release_memory(self.device)
        if refusal is not None:
            raise refusal

        half = len(inputs) // 2
        log.warning(
            "%s has no memory for a batch of %d items of '%s'; going on with %d.",
            self.device,
            len(inputs),
            self.name,
            half,
        )
        parts = [self._embed(inputs[:half]), self._embed(inputs[half:])]
        return np.concatenate(parts)


def state_digest(encoder: Encoder) -> str:
    """SHA-256 over every parameter and buffer, to show that none has changed."""
    named_tensors = itertools.chain(
        encoder.module.named_parameters(), encoder.module.named_buffers()
    )
    listing = f"{encoder.signature}\n{list_tensors(named_tensors)}"
    return sha256(listing.encode())


def list_tensors(named_tensors: Iterable[tuple[str, torch.Tensor]]) -> str:
    """A line for each tensor: its name, type, shape and the SHA-256 of its numbers."""
    listing = ""
    for name, tensor in named_tensors:
        # As bytes, since numpy has no bfloat16. The name and shape too, so that tensors
        # cannot change places unnoticed.
        numbers = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest = sha256(numbers.numpy().tobytes())
        shape = tuple(tensor.shape)
        listing += f"tensor {name} {tensor.dtype} {shape} {digest}\n"
    return listing


def prepare_audio(spec: EncoderSpec, shortest: int) -> Callable[[str], np.ndarray]:
    """Build the `prepare` of an audio encoder.

    Parameters
    ----------
    spec : EncoderSpec
    shortest : int
        Least number of samples that the encoder can take.

    Returns
    -------
    prepare : callable
        Maps a path to samples (L,), float32.
    """
    sample_rate = spec.required_sample_rate()

    def prepare(path: str) -> np.ndarray:
        samples = load_audio(path, sample_rate, mono=spec.mono)
        if len(samples) < shortest:
            seconds = len(samples) / sample_rate
            least_seconds = shortest / sample_rate
            raise ClipError(
                f"too short: {seconds:.3f} s, and '{spec.name}' needs at least "
                f"{least_seconds:.3f} s",
                status=TOO_SHORT,
            )
        return samples

    return prepare


def assemble_from_config(
    files: WeightFiles,
    architecture: str,
    assemble: Callable[[dict[str, Any]], Model],
    name: str = "config.json",
) -> Model:
    """Build a model with random weights from its config.

    Parameters
    ----------
    files : WeightFiles
    architecture : str
        Name of the architecture, for the error message.
    assemble : callable
        Maps the parsed config to the model.
    name : str
        File name of the config.

    Raises
    ------
    UsageError
        If the config is not one of this architecture.
    """
    from huggingface_hub.errors import StrictDataclassError

    config = files.json(name)
    try:
        # The random weights are replaced at once; drawing them must not move the
        # generator of the caller.
        with torch.random.fork_rng(devices=[]):
            return assemble(config)
    # What the libraries raise for a config that they cannot use.
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
            f"{files.paths[name]} does not describe a {architecture} model "
            f"({type(error).__name__}: {reason})."
        ) from error


def check_prompt(prompt: str) -> str:
    """Return `prompt`; raise `ClipError` if there is none."""
    if not isinstance(prompt, str) or not prompt.strip():
        raise ClipError("no prompt", status=NO_PROMPT)
    return prompt


def warn_of_cut(
    prompt: str,
    limit: int,
    unit: str,
) -> None:
    """Log that only the first `limit` units (tokens, words) of a prompt are read."""
    # On one line, however the prompt is broken up.
    start = " ".join(prompt[:36].split())
    log.warning(
        "The prompt '%s…' has more than %d %s; the rest is ignored.",
        start,
        limit,
        unit,
    )
