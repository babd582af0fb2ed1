"""What is made of preferences between two clips, see `meta.comparison.preference`.

In: rated clips with their out-of-fold distributions, or preferences per aspect. Out:
factors of what clips have in common (`pair_calibration.py`), and one preference of all
aspects, or the chances of many (`overall_preference.py`).
"""
