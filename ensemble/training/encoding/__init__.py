"""The encoders of a plan, and the embeddings of a share of its clips.

In: rated clips and the models to train. Out: loaded encoders (`checked_encoders`), or
embeddings in the store, for one job of a batch system (`embed_share`).
"""
