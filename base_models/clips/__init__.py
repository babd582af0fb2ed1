"""Clips: from folders and tables of anybody's listening tests to one clip table.

In come MusicEval trees, tables, single ratings and audio files; out come checked frames
of clips and ratings, and the audio of a clip. Read `read_clips` first.
"""
