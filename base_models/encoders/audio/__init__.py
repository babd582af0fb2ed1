"""Audio encoders: samples of a clip come in, one vector per frame goes out.

Read `logmel` first, which is the simplest; `waves` has what mert and wav2vec2 share.
"""

from base_models.optional_libraries import require

require("torch")
