"""Base models: from a table of clips to one 20-bin score distribution per clip and aspect.

This floor imports nothing of the floors above it, and its ground (``bins`` to ``config``) never imports torch.
"""
