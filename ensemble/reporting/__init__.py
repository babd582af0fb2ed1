"""What a measured stack looks like on paper and on a terminal.

In: a `meta.assessment.Assessment`, or the values of a report.json that exists already.
Out: the files of a report; lines and tables of a terminal. Read `section.py` first.
"""
