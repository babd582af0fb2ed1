"""Parts of the networks: a temporal block, attention pooling, cross-attention.

Every mask here is True where there is something: a real frame, a real token. The trap of the published code was a
mask of the other polarity, which pooled the padding; nothing outside this file turns a mask round.
"""

from __future__ import annotations

from torch import Tensor, nn


class TemporalTransformer(nn.Module):
    """One transformer layer over the frames (DORA-MOS, section II.B, music impression branch).

    Dropout on the input, then self-attention and a ReLU feed-forward of twice the width, layer norm after each. No
    positions are added: the encoder's frames carry their order, and the published model was in effect trained
    without.

    Shape: frames (B, T, D), mask (B, T) → (B, T, D)
    """

    def __init__(self, dim: int, heads: int = 4, dropout: float = 0.3):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.layer = nn.TransformerEncoderLayer(dim, heads, 2 * dim, dropout, batch_first=True)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        return self.layer(self.dropout(frames), src_key_padding_mask=~mask)


class AttentionPooling(nn.Module):
    """Weighted mean over positions, weights from a learnt linear score (DORA-MOS, section II.B).

    Shape: x (B, T, D), mask (B, T) → (B, D)
    """

    def __init__(self, dim: int):
        super().__init__()
        self.score = nn.Linear(dim, 1)

    def weights(self, x: Tensor, mask: Tensor) -> Tensor:
        """Softmax over the real positions. Shape: (B, T, D), (B, T) → (B, T), rows sum to 1."""
        return self.score(x).squeeze(-1).masked_fill(~mask, float("-inf")).softmax(-1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return (self.weights(x, mask).unsqueeze(-1) * x).sum(1)


class CrossAttention(nn.Module):
    """Text tokens query the audio frames, both projected to the text's width; then layer norm (DORA-MOS, section II.B).

    Shape: frames (B, T, D), frame_mask (B, T), tokens (B, T', D') → (B, T', D')
    """

    def __init__(self, audio_dim: int, text_dim: int, heads: int = 4, dropout: float = 0.3):
        super().__init__()
        self.audio = nn.Linear(audio_dim, text_dim)
        self.text = nn.Linear(text_dim, text_dim)
        self.attention = nn.MultiheadAttention(text_dim, heads, dropout, batch_first=True)
        self.norm = nn.LayerNorm(text_dim)

    def forward(self, frames: Tensor, frame_mask: Tensor, tokens: Tensor) -> Tensor:
        keys = self.audio(frames)
        attended, _ = self.attention(self.text(tokens), keys, keys, key_padding_mask=~frame_mask, need_weights=False)
        return self.norm(attended)
