"""The tables of the papers, run again on the clips of a user.

The name of a table and labelled clips come in; a folder with the paper's numbers beside
ours, each with its interval, goes out. Read `reproduce` first: it calls the others.
"""
