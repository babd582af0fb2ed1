"""Clips are scored in chunks: here, in other processes, on a cluster, or in shards.

In: a plan of chunks (`chunk_plan`). Out: a `ScoredChunk` for each, which is kept in a
folder beside the output until that is written (`kept_chunks`), so that a run that was
killed goes on, and runs that share the work are joined (`shards`). Read `run_chunks`
first.
"""
