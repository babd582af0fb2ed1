"""Parts of audio files: segments that a table names, and windows over long clips.

In comes a file with times in seconds; out comes the name of a segment, which stands for
a clip of its own wherever a clip table has the name of a file. Read `reference` first;
`windows` divides clips that are longer than what is scored of them.
"""
