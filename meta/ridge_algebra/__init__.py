"""Ridge regression from second moments: solution paths, exact errors, penalty choice.

In: feature columns, scores, weights and groups. Out: coefficients and held-out errors
of every penalty, and the chosen penalty. Read `gram.py` first.
"""
