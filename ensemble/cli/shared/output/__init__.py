"""Where results of commands go: files, standard output, tables of the screen.

In: tables, scores and what else a command found. Out: written files and printed
tables. Start in ``output_files.py`` (``-o``, ``--json``).
"""
