"""Means of systems from ratings of a few clips and predictions of all.

In: a `rated_sample.RatedSample`; for a plan, predictions alone.
Out: `powered_means.PoweredMeans`, whose intervals are valid whatever the predictions
are, and `rating_plan.RatingPlan`, which clips to rate.
Read ``powered_means`` first; the estimator is in ``system_estimates``, where its
variance comes from in ``variance_components`` and ``moderated_variances``.
"""
