"""Compares a stack with its base models, and base models with each other.

In: `Rows` with scores of a stack and its base models. Out: leaderboards, a verdict, and
what each base model contributes. Read `compared_rows.py` first.
"""
