"""MuQ-MuLan: music and text in one space of 512 dimensions.

There is one vector for each ten seconds of a clip, and one for a prompt. Source: Zhu et
al., "MuQ: Self-Supervised Music Representation Learning with Mel Residual Vector
Quantization", 2025; the parts are those of the ``muq`` package. The weights are
CC BY-NC 4.0.

Notes
-----
The package's own class is not used: it fetches two more models, pickles allowed, only
to overwrite them; its MuQ fails in transformers 5 (see
`base_models.encoders.audio.muq`); and it averages over padded text tokens, so that a
prompt's vector depends on the other prompts of its batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import torch
from torch import nn

from base_models.encoders.audio.muq import (
    SHORTEST,
    MuQConformer,
    assemble_muq,
    muq_tensors,
)
from base_models.encoders.base import Encoder, assemble_from_config, prepare_audio
from base_models.encoders.joint.windows import consecutive_windows
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.text.transformer import make_roberta_tokenizer
from base_models.encoders.weights import WeightFiles, select_tensors

if TYPE_CHECKING:
    from transformers import XLMRobertaModel
    from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import (
        Wav2Vec2ConformerEncoder,
    )

WINDOW = 240_000
"""Samples at 24 kHz: ten seconds."""
MAX_TOKENS = 512
FAMILIES = {"audio": "muq", "text": "xlm-roberta"}
"""Kind of a tower → family of its inner model."""


class MuLanHead(TypedDict):
    """What follows the inner model of a tower."""

    proj: nn.Module
    transformer: nn.Module
    to_latents: nn.Linear


class MuLanAudio(nn.Module):
    """MuQ, a transformer over its frames, their mean, and a projection of norm 1.

    Shape
    -----
    input (B, windows, L), 24 kHz; output (B, windows, dim)
    """

    def __init__(
        self,
        model: MuQConformer,
        proj: nn.Module,
        transformer: nn.Module,
        to_latents: nn.Linear,
    ) -> None:
        super().__init__()
        self.model = model
        self.proj = proj
        self.transformer = transformer
        self.to_latents = to_latents

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        # One window at a time, as the package does: MuQ's convolutions need much
        # memory.
        vectors = [self._embed(samples[:, i]) for i in range(samples.shape[1])]
        return torch.stack(vectors, dim=1)

    def _embed(self, window: torch.Tensor) -> torch.Tensor:
        hidden = self.transformer(self.proj(self.model(window)))
        return nn.functional.normalize(self.to_latents(hidden.mean(-2)), dim=-1)


class MuLanText(nn.Module):
    """XLM-RoBERTa, a transformer over its tokens, their mean, and a projection.

    Shape
    -----
    input (B, L) token ids; output (B, 1, dim), of norm 1
    """

    def __init__(
        self,
        model: nn.Module,
        proj: nn.Module,
        transformer: nn.Module,
        to_latents: nn.Linear,
    ) -> None:
        super().__init__()
        self.model = model
        self.proj = proj
        self.transformer = transformer
        self.to_latents = to_latents

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden = self.model(ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        hidden = self.transformer(self.proj(hidden))
        vectors = nn.functional.normalize(self.to_latents(hidden.mean(-2)), dim=-1)
        return vectors[:, None]


def build(
    spec: EncoderSpec,
    files: WeightFiles,
    device: str,
) -> Encoder:
    """Load one tower of MuQ-MuLan.

    Its inner model needs ``muq/config.json``, or ``xlm-roberta/config.json`` and
    ``xlm-roberta/tokenizer.json``.

    Raises
    ------
    UsageError
        If a config is not MuQ-MuLan's, or the tensors or the tokenizer do not fit it.
    """
    if spec.kind == "audio":
        return _build_audio(spec, files, device)
    return _build_text(spec, files, device)


def _build_audio(
    spec: EncoderSpec,
    files: WeightFiles,
    device: str,
) -> Encoder:
    muq, width = assemble_from_config(
        files, "MuQ", assemble_muq, name="muq/config.json"
    )
    head = _assemble_head(files, kind="audio", width=width)

    # The checkpoint knows only those parts of MuQ that hold weights.
    tensors = _tower_tensors(files, kind="audio", select=muq_tensors)
    files.fill(_loadable(muq.weighted_parts, head), tensors)
    muq.fold()

    audio_config = files.json("config.json")["audio_model"]
    _keep_layers(muq.conformer, audio_config.get("use_layer_idx", -1))

    return Encoder.from_spec(
        spec,
        module=MuLanAudio(muq, **head),
        prepare=_make_audio_prepare(spec),
        dim=head["to_latents"].out_features,
        digest=files.digest,
        device=device,
    )


def _build_text(
    spec: EncoderSpec,
    files: WeightFiles,
    device: str,
) -> Encoder:
    roberta = assemble_from_config(
        files, "XLM-RoBERTa", assemble_xlm_roberta, name="xlm-roberta/config.json"
    )
    config = roberta.config
    head = _assemble_head(files, kind="text", width=config.hidden_size)

    tensors = _tower_tensors(files, kind="text", select=_roberta_tensors)
    files.fill(_loadable(roberta, head), tensors)

    prepare = make_roberta_tokenizer(
        files,
        "XLM-RoBERTa",
        config,
        longest=MAX_TOKENS,
        name="xlm-roberta/tokenizer.json",
    )
    return Encoder.from_spec(
        spec,
        module=MuLanText(roberta, **head),
        prepare=prepare,
        dim=head["to_latents"].out_features,
        digest=files.digest,
        device=device,
    )


def assemble_mulan(
    config: dict[str, Any],
    kind: str,
    width: int,
) -> MuLanHead:
    """Build what follows the inner model of one tower, with random weights.

    Parameters
    ----------
    config : dict
        The config of MuQ-MuLan.
    kind : {"audio", "text"}
    width : int
        Width of the inner model's vectors.

    Returns
    -------
    head : MuLanHead
    """
    from muq.muq_mulan.modules.transformer import Transformer

    # The config has a section for each part of the whole model.
    joint_config = config["mulan"]
    head_config = config[f"{kind}_transformer"]
    inner_config = config[f"{kind}_model"]
    window = (joint_config.get("sr", 24_000), joint_config.get("clip_secs", 10))
    if window != (24_000, 10):
        raise ValueError("sr and clip_secs must be 24000 and 10")
    _check_inner_config(inner_config, kind, width)

    dim = head_config["dim"]
    options = ("dim_head", "heads", "ff_mult")
    transformer = Transformer(
        dim=dim,
        depth=head_config["tf_depth"],
        **{name: head_config[name] for name in options if name in head_config},
    )

    # As in the package: audio is always projected, text only from another width.
    is_projected = kind == "audio" or inner_config.get("model_dim") not in (None, dim)
    return {
        "proj": nn.Linear(width, dim) if is_projected else nn.Identity(),
        "transformer": transformer,
        "to_latents": nn.Linear(dim, joint_config.get("dim_latent", 512)),
    }


def _check_inner_config(
    inner_config: dict[str, Any],
    kind: str,
    width: int,
) -> None:
    # Released configs name the repository or folder of the inner model.
    family = FAMILIES[kind]
    has_family = family in inner_config["name"].lower()
    if not has_family or inner_config.get("model_dim") not in (None, width):
        raise ValueError(
            f"{kind}_model is {inner_config}; it must be a {family} of width {width}"
        )
    if not isinstance(inner_config.get("use_layer_idx", -1), int):
        raise TypeError(
            f"use_layer_idx is {inner_config['use_layer_idx']!r}, not a whole number"
        )


def assemble_xlm_roberta(config: dict[str, Any]) -> XLMRobertaModel:
    """Build XLM-RoBERTa with random weights, without a pooler."""
    from transformers import XLMRobertaConfig, XLMRobertaModel

    roberta_config = XLMRobertaConfig.from_dict(config)
    roberta_config._attn_implementation = "sdpa"
    return XLMRobertaModel(roberta_config, add_pooling_layer=False)


def _assemble_head(
    files: WeightFiles,
    kind: str,
    width: int,
) -> MuLanHead:
    return assemble_from_config(
        files, "MuQ-MuLan", lambda config: assemble_mulan(config, kind, width)
    )


def _loadable(model: nn.Module, head: MuLanHead) -> nn.ModuleDict:
    """The modules of a tower, under the names that `_tower_tensors` gives."""
    return nn.ModuleDict(
        {
            "model": model,
            "proj": head["proj"],
            "transformer": head["transformer"],
            "to_latents": head["to_latents"],
        }
    )


def _tower_tensors(
    files: WeightFiles,
    kind: str,
    select: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]],
) -> dict[str, torch.Tensor]:
    """Pick the tensors of one tower; `select` picks and names those of its inner model.

    In the checkpoint a tower's tensors are named ``audio.…`` or ``text.…``, except for
    its last projection, which is ``audio_to_latents.…`` or ``text_to_latents.…``.
    """
    inner: dict[str, torch.Tensor] = {}
    head: dict[str, torch.Tensor] = {}
    for full_name, tensor in files.tensors().items():
        name = full_name.removeprefix("mulan.")
        own_name = name.removeprefix(f"{kind}.")
        if name.startswith(f"{kind}_to_latents"):
            head[name.removeprefix(f"{kind}_")] = tensor
        elif name.startswith(f"{kind}.model."):
            inner[own_name.removeprefix("model.")] = tensor
        elif name.startswith((f"{kind}.proj.", f"{kind}.transformer.")):
            head[own_name] = tensor

    selected = {f"model.{name}": tensor for name, tensor in select(inner).items()}
    return {**selected, **head}


def _roberta_tensors(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    # Without the pooler.
    return select_tensors(tensors, "", parts=("embeddings.", "encoder."))


def _keep_layers(conformer: Wav2Vec2ConformerEncoder, layer: int) -> None:
    """Make the output of `conformer` its hidden state number `layer`.

    Hidden states are counted as transformers does: 0 is what enters the first layer,
    and -1 is the last one.
    """
    depth = len(conformer.layers)
    kept = layer % (depth + 1)
    # Only the last hidden state is normalised.
    if kept != depth:
        conformer.layers = conformer.layers[:kept]
        conformer.register_module("layer_norm", nn.Identity())


def _make_audio_prepare(spec: EncoderSpec) -> Callable[[str], np.ndarray]:
    """Build the function from a path to windows of ten seconds (windows, WINDOW)."""
    read = prepare_audio(spec, SHORTEST)

    def prepare(path: str) -> np.ndarray:
        samples = read(path)
        windows = consecutive_windows(samples, WINDOW)
        if len(windows) == 1:
            # The package leaves a clip under five seconds at twice its length; here it
            # is repeated until the window is full.
            windows[-1] = np.resize(samples, WINDOW)
        else:
            # A last window is completed from the clip's start, as in the package.
            windows[-1] = np.resize(np.concatenate([windows[-1], samples]), WINDOW)
        return np.stack(windows)

    return prepare
