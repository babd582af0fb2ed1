"""Text encoders: a prompt comes in, one vector per token or word goes out.

Read `transformer` first: it has what the encoders with weights share.
"""

from base_models.optional_libraries import require

require("torch")
