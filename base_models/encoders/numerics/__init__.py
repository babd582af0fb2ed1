"""How an encoder computes: in which precision, and by which algorithms.

A loaded encoder comes in; one that gives the same embeddings faster goes out, or nearly
the same ones in another precision. Read `choice` first.
"""

from base_models.optional_libraries import require

require("torch")
