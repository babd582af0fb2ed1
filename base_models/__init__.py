"""Base models: each turns clips into one score distribution per clip and aspect.

In: a table of clips with audio and prompts. Out: `predictions.PredictionTable`.
Read `bins` first, then `predictions`. Nothing here imports ``meta`` or ``ensemble``,
and the ground (``bins`` to ``config``, without ``devices``) never imports torch.
"""
