"""Which conditions of a listening test are a reference or an anchor, by their names.

A hidden reference is rated near the top since raters recognise it, and an anchor is a
low-pass filtered copy of it: neither is a system under test.
"""

from __future__ import annotations

import re

REFERENCE = "reference"
ANCHOR = "anchor"
MID_ANCHOR = "mid-range anchor"

_REFERENCES = frozenset(
    {
        "reference",
        "ref",
        "hiddenreference",
        "hiddenref",
        "openreference",
        "explicitreference",
        "uncoded",
    }
)
# Low-pass filters of 3.5 and 7 kHz are the standard anchors of BS.1534-3.
_ANCHOR = re.compile(
    r"(low|mid|high)?(range|quality)?anchor(low|mid|high|a|b|[0-9]+(k?hz|k)?)?"
    r"|anch(or)?[0-9]*|lp(f)?(35|70|3500|7000)(k?hz)?"
)
_MID = re.compile(r"mid.*|.*mid|.*70(00)?(k?hz|k)?|anchor7(k?hz|k)?")


def role_of_condition(name: str) -> str:
    """The role of a condition by its name: a constant of this module, or "".

    >>> role_of_condition("Hidden Ref"), role_of_condition("anchor70")
    ('reference', 'mid-range anchor')
    >>> role_of_condition("anchor-35"), role_of_condition("C1")
    ('anchor', '')
    """
    folded = re.sub(r"[\W_]+", "", name.lower())
    if folded in _REFERENCES:
        return REFERENCE
    if not _ANCHOR.fullmatch(folded):
        return ""
    return MID_ANCHOR if _MID.fullmatch(folded) else ANCHOR
