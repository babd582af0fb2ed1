"""What would make in-sample predictions of base models pass for unseen ones.

In: the base models of a stack, and their predictions. Out: an error, or a line in the
log. Read ``base_models``.
"""
