"""How much of everything a run on a device takes: in earnest, and to test the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from base_models.config import MODELS
from base_models.encoders import ENCODERS


@dataclass(frozen=True)
class Sizes:
    """Sizes of a run.

    Parameters
    ----------
    product : int
        Rows and columns of the matrices whose product is timed.
    presets, encoders : tuple of str
        Those that are checked.
    muq : dict
        Settings of MuQ beside those of its published size.
    muq_dim : int
        Width of its embeddings.
    seconds : float
        Length of a clip.
    batches : tuple of int
        Clips that go through MuQ together.
    n_clips : int
        Clips that fill a store.
    n_trained : int
        Clips that a network is trained on; a fifth more are predicted.
    frames, width, tokens, text_width : int
        Shape of their embeddings.
    models : dict from str to int
        Presets that are trained at this size, and how many of each.
    """

    product: int = 8192
    presets: tuple[str, ...] = tuple(MODELS)
    encoders: tuple[str, ...] = tuple(ENCODERS)
    muq: dict[str, Any] = field(default_factory=dict)
    muq_dim: int = 1024
    seconds: float = 30.0
    batches: tuple[int, ...] = (1, 2, 4, 8)
    n_clips: int = 480
    n_trained: int = 1634
    frames: int = 750
    width: int = 1024
    tokens: int = 32
    text_width: int = 768
    models: dict[str, int] = field(
        default_factory=lambda: {"dora": 5, "dora_coral": 2, "dora_decoupled": 2}
    )


SMALL = Sizes(
    product=64,
    presets=("muq_eval",),
    encoders=("logmel", "hashed_text"),
    muq={
        "conv_dim": 4,
        "encoder_dim": 16,
        "encoder_depth": 1,
        "w2v2_config": {
            "num_attention_heads": 2,
            "intermediate_size": 24,
            "position_embeddings_type": "rotary",
            "hidden_act": "swish",
        },
    },
    muq_dim=16,
    seconds=0.5,
    batches=(2,),
    n_clips=2,
    n_trained=5,
    frames=6,
    width=16,
    tokens=3,
    text_width=8,
    models={"muq_eval": 1},
)
"""For a machine without a device: shows that the run itself works."""
