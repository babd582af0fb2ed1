"""Training of one base model over a table of clips.

In: clips and their mean opinion scores. Out: a fitted `NeuralMOS`, which predicts score
distributions. Read `neural_mos.py` first, then `loop.py`.
"""

from base_models.optional_libraries import require

require("torch")
