"""How an encoder computes: in which precision, with which kernels, in which memory.

A loaded encoder comes in; one that gives the same embeddings faster goes out, or nearly
the same ones in another precision. Read `choice` first.
"""
