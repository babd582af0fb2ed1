"""Which labelled clips fit a stack and which validate it, and whether any of them leak.

In: system names, scores and groups of the clips; the prediction tables.
Out: masks and fold numbers (``meta_split``), and an `Audit` (``leak_audit``).
Read ``meta_split`` first.
"""
