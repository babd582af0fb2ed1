"""The demo corpus: procedural music and simulated raters, as a MusicEval tree.

In: a seed and sizes; out: the tree. Its numbers say nothing about real music. Read
`corpus` first.
"""
