"""Which container a file is, and whether it holds all that it declares.

In comes an open file; out comes what the decoder is to be given of it, or a `ClipError`
that says what is wrong. Read `check_container` first; each kind has a file of its own.
"""
