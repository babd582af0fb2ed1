"""What a fitted stack predicts: scores, distributions, intervals and preferences.

In: clips, audio files, rows of a matrix, or predictions of the base models. Out: arrays
with a row for each of them. Read `prediction_mixin.py` first.
"""
