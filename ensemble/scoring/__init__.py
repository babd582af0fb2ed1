"""Score new clips with a fitted stack: the work behind ``predict_mos``.

In: audio, or predictions of the base models. Out: `Scores`, in one of the `FORMATS`.
Read `score_clips` first; `ensemble.formats` has the formats.
"""
