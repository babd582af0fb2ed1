"""How time and memory of the commands grow with the number of clips.

Run by ``make bench-growth`` as ``python -m benchmarks.growth``; `commands.py` says what
is measured, `corpus.py` on which clips, `report.py` writes RESULTS.md and the picture.
"""
