"""How the channels of a recording become one: the rules of ``--mono``.

- ``mix``: the mean of the channels. Where they cancel, as with one channel of reversed
  polarity, the mean is not what is heard: the loudest channel is taken instead. When
  they do: `CANCELLING_DECIBELS` in `base_models.clips.audio_files.levels`.
- ``left``, ``right``: the first, the second channel.
- ``loudest``: the channel with the most energy, the first of equals; a constant offset
  does not count.

The only channel of a recording is taken under every rule.
"""

MIX = "mix"
MONO_RULES = (MIX, "left", "right", "loudest")


def named_channel(rule: str, n_channels: int) -> int | None:
    """The place of the channel that a rule names; None of ``mix`` and ``loudest``.

    >>> named_channel("right", 2), named_channel("right", 1), named_channel("mix", 2)
    (1, 0, None)
    """
    places = {"left": 0, "right": min(1, n_channels - 1)}
    return places.get(rule)
