"""From the prediction tables of base models to the feature columns of a learner.

In: one `PredictionTable` per base model. Out: float64 arrays (rows, columns) and
their `Layout`. Read `feature_table.py` first.
"""
