"""`stack`, the default learner: a few unlike ways to weigh scores, mixed.

In: features with their `Layout`, and scores. Out: a `Stack`, which is linear in the
models' scores but for one bend. Read `learner.py` first, then `parts.py`.
"""

from meta.learners.stack.learner import Stack

__all__ = ["Stack"]
