"""One reader per layout: from cells to a `ListeningTest`, a row per rating.

`read_listening_test`, one folder up, asks each in turn whether it knows a table.
"""
