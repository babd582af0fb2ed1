"""Fitted scikit-learn estimators as bytes, and back, without running code of the file.

In: a fitted estimator. Out: bytes in the format of skops, and an estimator that
predicts the same. Read `trusted_types` first: it lists all that is ever constructed.
"""
