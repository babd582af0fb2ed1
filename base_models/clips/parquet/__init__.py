"""Data sets published as Parquet, with the audio inside their tables.

In come the shards of a data set; out come one table, and the bytes of a clip's audio by
reference. Read `published_tables` first.
"""
