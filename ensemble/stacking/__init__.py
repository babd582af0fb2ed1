"""fit_meta: a stack of finished base models, or of anybody's prediction files.

In: a workspace of fit_base, or joined prediction files. Out: the folder of a stack with
its report. Read `fit_stack` first, then `stack_data`.
"""
