"""Audio files as they come: opened, checked for being whole, and decoded.

In comes a path, or a reference to a row of a table; out come portions of samples that
have been checked, or a `ClipError` with the reason. Read `decoder` first;
`base_models.clips.audio` is what other packages use.
"""
