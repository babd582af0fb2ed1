"""Prediction files: from files that any tool wrote to predictions joined to labels.

In come words that name files (`prediction_word`) of scores or distributions; out come
frames of scores (`read_predictions`, for metrics) or one prediction table per base
model (`stack_inputs`), on one scale whatever scales they were on (`stack_scales`).
`known_tools` is the table of layouts. Read `table_models` first.
"""
