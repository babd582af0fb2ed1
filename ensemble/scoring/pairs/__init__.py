"""Compares two clips, and chooses the best of many, by what a stack predicts of them.

In: a table of pairs, or the scores of candidates. Out: which clip of a pair is
preferred and how surely (`compare_pairs.py`, read it first), in the layouts that
benchmarks take (`layouts.py`); or the best candidates of each group (`best_of.py`).
"""
