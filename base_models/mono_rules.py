"""How the channels of a recording become one: the rules of ``--mono``.

- ``mix``: the mean of the channels. Where they cancel, as with one channel of reversed
  polarity, the mean is not what is heard: the loudest channel is taken instead. When
  they do: `CANCELLING_DECIBELS` in `base_models.clips.audio_files.levels`.
- ``left``, ``right``: the first, the second channel.
- ``loudest``: the channel with the most energy, the first of equals.

The only channel of a recording is taken under every rule.
"""

MIX = "mix"
MONO_RULES = (MIX, "left", "right", "loudest")
