"""The meta floor: base models' distributions become one score and one distribution.

In: `base_models.predictions.PredictionTable`, one per base model, and the labels.
Out: a fitted `meta.regressor.MetaRegressor`. Read ``rows``, then ``regressor``.
It uses the ground of ``base_models`` and never torch; nothing is imported here, so
that ``import meta`` stays light.
"""
