"""Compares systems by the scores of their clips: which is better, and how sure is that.

In: `ScoredClips` of an aspect, and the error of the stack on systems that nobody has
rated. Out: a `SystemComparison`. Read `compare_systems.py` first.
"""
