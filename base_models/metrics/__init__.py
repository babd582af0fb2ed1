"""How good predictions are, with intervals from resampled systems.

In: true and predicted scores, or single ratings and predicted distributions.
Out: DataFrames with one row per aspect, level and metric.
Read ``evaluate`` first; ``bootstrap`` does its resampling.
"""
