"""What the encoders that read raw samples share: wav2vec 2.0 and HuBERT, convolutions and then a transformer.

The traps: a clip is made zero-mean and of unit variance over its own samples alone, before anything could pad it; and
the weight-normalised positional convolution is named differently from torch to torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import nn

from base_models.encoders.base import Encoder, prepare_audio
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.weights import WeightFiles
from base_models.errors import UsageError

PARTS = ("feature_extractor.", "feature_projection.", "encoder.")
"""What of a checkpoint is used; quantisers, heads and the mask vector are for training."""


class WaveHiddenState(nn.Module):
    """The last hidden state of a wav2vec 2.0 or HuBERT, without an attention mask: nothing is padded.

    Shape
    -----
    input (B, L) samples; output (B, T, dim), T as in `frames`
    """

    def __init__(self, transformer: nn.Module):
        super().__init__()
        self.transformer = transformer

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        return self.transformer(samples).last_hidden_state


def wave_config(config_class, config: dict):
    """A config of transformers without what is for training: masking in time and frequency, dropped layers."""
    still = {
        "apply_spec_augment": False,
        "mask_time_prob": 0.0,
        "mask_feature_prob": 0.0,
        "layerdrop": 0.0,
    }
    made = config_class.from_dict(config | still)
    made._attn_implementation = "eager"
    return made


def wave_encoder(
    spec: EncoderSpec,
    files: WeightFiles,
    device: str,
    model: nn.Module,
    tensors: Mapping[str, torch.Tensor],
) -> Encoder:
    """An encoder from a model with random weights and the tensors that belong in it.

    Raises
    ------
    UsageError
        when the tensors do not fit, or the front end is for another sample rate.
    """
    files.fill(
        model,
        _renamed({name: t for name, t in tensors.items() if name.startswith(PARTS)}),
    )
    facts = vars(spec) | {
        "dim": model.config.hidden_size,
        "digest": files.digest,
        "device": device,
    }
    return Encoder(
        **facts,
        module=WaveHiddenState(model),
        prepare=_prepare(spec, files, shortest(model.config)),
    )


def shortest(config) -> int:
    """Samples that give one frame: the receptive field of the convolutions.

    >>> from types import SimpleNamespace
    >>> shortest(SimpleNamespace(conv_kernel=[10, 3, 3, 3, 3, 2, 2], conv_stride=[5, 2, 2, 2, 2, 2, 2]))
    400
    """
    length = 1
    for kernel, stride in zip(
        reversed(config.conv_kernel), reversed(config.conv_stride), strict=True
    ):
        length = (length - 1) * stride + kernel
    return length


def standardised(samples: np.ndarray) -> np.ndarray:
    """Samples of zero mean and unit variance, as the feature extractor of wav2vec 2.0 makes them."""
    return ((samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)).astype(
        np.float32
    )


def _prepare(
    spec: EncoderSpec, files: WeightFiles, least: int
) -> Callable[[str], np.ndarray]:
    front = files.json("preprocessor_config.json")
    if front.get("sampling_rate") != spec.sample_rate:
        path = files.paths["preprocessor_config.json"]
        raise UsageError(
            f"{path}: sampling_rate is {front.get('sampling_rate')}; '{spec.name}' is {spec.sample_rate}."
        )
    read = prepare_audio(spec, least)
    if not front.get("do_normalize", True):
        return read
    return lambda path: standardised(read(path))


def _renamed(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """With the names that weight normalisation has in this torch."""
    ours = {"conv.weight_g": "conv.parametrizations.weight.original0"}
    ours["conv.weight_v"] = "conv.parametrizations.weight.original1"
    renamed = {}
    for name, tensor in tensors.items():
        for old, new in ours.items():
            name = name.removesuffix(old) + new if name.endswith(old) else name
        renamed[name] = tensor
    return renamed
