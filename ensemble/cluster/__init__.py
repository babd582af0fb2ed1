"""Pieces of work on the workers of a Dask scheduler.

Pieces and an address come in; results come out, in the order of the pieces. Workers
first prove that they compute what this machine would, and those that do not are left
out by name while the others go on. Read `run_pieces` first, then `crew`.
"""
