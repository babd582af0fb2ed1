"""Checks of what stands in a file, before anything is made of it.

Files come from strangers too. In go bytes or parsed JSON, out comes the same, known to
be of the form that this version writes, and small enough to be read. Read
`stored_config` first.
"""
