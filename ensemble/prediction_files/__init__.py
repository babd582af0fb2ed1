"""Prediction files: from files that any tool wrote to predictions joined to labels.

In come files of scores or distributions; out come frames of scores (`read_predictions`,
for metrics) or one prediction table per base model (`stack_inputs`), on one scale
whatever scales they were on (`stack_scales`). Read `read_predictions` first.
"""
