"""Exports of listening tests: in come files of any layout, out goes a row per rating.

Start at `read_listening_test`: it recognises the layout (one module for each), names
reference and anchor conditions (`conditions`), leaves raters out (`screening`), and
says in one line what was read. Votes on pairs become scores in `bradley_terry`.
"""
