"""What base models attend to, and whether their scores depend on it.

In: a fitted stack and clips. Out: maps and pictures (`explain`), or the table of the
deletion test (`deletion_test`). Read `model_attention` first, then `explain`.
"""
