"""Audio is decoded in a process of its own, which may crash, hang or run out of memory.

In comes a task of `base_models.clips.audio_files.tasks` with its arguments; out comes
its answer, or a `ClipError` when the file was too much for the process. Read
`decoding_process` first, the side of who asks; `serve` is the other side.
"""
