"""Stored embeddings by the thousand, in few files, read as they are needed.

In go the entries that filling a store wrote, a file each; out come packs, which hold
many of them behind one index, and arrays that training reads ahead of its steps. Read
`pack_file` first: what a pack is, and how its contents are verified.
"""
