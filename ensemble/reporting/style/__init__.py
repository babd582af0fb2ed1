"""How pages and charts look: one set of colours for css and matplotlib.

In: nothing. Out: css, a script that sorts tables, settings of matplotlib. Read
`tokens.py` first: all colours stand there.
"""
