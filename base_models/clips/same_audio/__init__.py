"""Which clips are one recording, whatever container, level, rate or trimming it has.

In: audio files. Out: a `Fingerprint` of each (``fingerprint``), kept from run to run
(``fingerprint_store``), and the groups of clips that are one recording (``matches``).
Read ``matches`` first: it says what counts as the same, and what cannot be told apart.
"""
