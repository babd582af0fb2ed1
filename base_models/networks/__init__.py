"""The networks that are trained on stored embeddings.

In: padded batches of frames and tokens. Out: raw outputs (B, aspects, outputs) and,
through a criterion, score distributions. Read `models.py` first, then `layers.py`.
"""

from base_models.optional_libraries import require

require("torch")
