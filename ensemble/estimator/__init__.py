"""StackedMOS, the scikit-learn estimator of a whole stack, and what only it needs.

In: clips (or rows, or predictions) and labels. Out: a fitted `StackedMOS`, which
predicts scores, distributions and feature tables. Read `stacked_mos` first;
`sklearn_files` stores scikit-learn estimators without pickle.
"""
