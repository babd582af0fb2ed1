"""What a report says to those who decide: which system is best, which clips are bad.

In: scores of clips and, where they name systems, a comparison of these. Out: sections
of a page, or the whole page (`answer_report.py`). Read `answer_content.py` first, then
`summary.py`.
"""
