"""Weights of resamples in, sums over clips, ranks and pairs of clips out.

Read `rank_sums` first; `base_models.metrics.bootstrap` makes metrics of these sums.
"""
