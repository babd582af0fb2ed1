"""Whether a clip could be used, in one word that programs can rely on.

Sentences say more and may change; a word of `STATUSES` keeps its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping

OK = "ok"
MISSING = "missing"
EMPTY = "empty"
UNREADABLE = "unreadable"
TRUNCATED = "truncated"
UNSUPPORTED = "unsupported"
TOO_SHORT = "too_short"
TOO_SLOW = "too_slow"
TOO_LARGE = "too_large"
CRASHED = "decoder_crashed"
CHANGED = "changed"
NO_PROMPT = "no_prompt"
NO_PREDICTION = "no_prediction"
DUPLICATE = "duplicate"
BAD_ROW = "bad_row"

STATUSES: Mapping[str, str] = {
    OK: "it was used",
    MISSING: "there is no such file, or the row names none",
    EMPTY: "the file has no bytes, or holds no samples",
    UNREADABLE: "the file cannot be opened or decoded, or what it holds is no sound",
    TRUNCATED: "the file ends before what it declares",
    UNSUPPORTED: "a kind of file, codec, rate or number of channels that is not read",
    TOO_SHORT: "the sound is shorter than an encoder needs",
    TOO_SLOW: "reading it takes longer than a clip may take",
    TOO_LARGE: "reading it needs more memory than a clip may take",
    CRASHED: "the process that decodes audio crashes on it",
    CHANGED: "the file was changed while it was read",
    NO_PROMPT: "everything is judged against the prompt, and there is none",
    NO_PREDICTION: "a model without weights, or a file, has no prediction of it",
    DUPLICATE: "an earlier row has the same id, or another one that says otherwise",
    BAD_ROW: "a cell of its row cannot be used",
}
"""Each status, and what it says of a clip."""
