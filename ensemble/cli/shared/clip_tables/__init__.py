"""Options of tables of clips and of ratings, and what is printed of such tables.

In: options of commands that read such tables. Out: how to read them, problems and
facts on raters as lines of the screen. Start in ``clip_options.py``.
"""
