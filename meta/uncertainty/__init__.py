"""How far a stack's scores may be off: intervals, distributions, and their quality.

In: scores and true ratings of clips on which the stack was not fitted.
Out: `calibration.Calibration` and the tables of `coverage.calibration_report`.
Read ``calibration`` first; ``distribution_scores`` holds the scoring rules.
"""
