"""Base models on pooled embeddings, for listening tests of some hundred clips.

In: clips and their mean opinion scores. Out: a fitted `PooledMOS`, which predicts score
distributions. Read `pooled_mos.py` first, then `pooled_features.py`.
"""
