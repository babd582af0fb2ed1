"""What ``predict_mos`` does with pairs and with candidates of one prompt.

In: options and scores. Out: preferences in a table or the layout of a benchmark, or the
best of each group. Read `pair_options.py` first.
"""
