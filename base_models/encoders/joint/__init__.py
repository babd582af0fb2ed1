"""Encoders with one space for audio and text.

A clip comes in and one vector per window goes out, or a prompt and one vector for it.
Read `windows` first, then `clap`.
"""

from base_models.optional_libraries import require

require("torch")
