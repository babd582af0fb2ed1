"""Scales of tools that are known by the columns of what they write.

A tool is recognised by the names of its columns alone, never by the name of a file: a
file can be called anything. A column such as ``CE`` is Audiobox's only beside its three
siblings; a column such as ``audiobox_aesthetics_CE`` says by itself what it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from base_models.clips.columns import fold_name
from base_models.scales import Scale

_FIVE_POINTS = Scale(1, 5)
_AUDIOBOX = frozenset({"ce", "cu", "pc", "pq"})
_NISQA = ("mos", "noi", "dis", "col", "loud")


@dataclass(frozen=True)
class KnownTool:
    """A tool whose output is recognised.

    Parameters
    ----------
    name : for people
    scale : of its scores
    together : names of columns, normalised, which must all be there
    scores : further columns of scores that it may write beside them
    alone : columns of scores that say by themselves whose they are
    """

    name: str
    scale: Scale
    together: frozenset[str] = frozenset()
    scores: frozenset[str] = frozenset()
    alone: frozenset[str] = frozenset()


KNOWN_TOOLS = (
    # arXiv 2502.05139: ten points per axis; its command writes CE, CU, PC, PQ.
    KnownTool(
        "Audiobox Aesthetics",
        Scale(1, 10),
        together=_AUDIOBOX,
        alone=frozenset(f"audiobox_aesthetics_{axis}" for axis in sorted(_AUDIOBOX)),
    ),
    KnownTool(
        "Audiobox Aesthetics",
        Scale(1, 10),
        together=frozenset(
            {
                "content_enjoyment",
                "content_usefulness",
                "production_complexity",
                "production_quality",
            }
        ),
    ),
    # run_predict.py of NISQA 2; the TTS model writes mos_pred alone.
    KnownTool(
        "NISQA",
        _FIVE_POINTS,
        together=frozenset({"mos_pred", "noi_pred", "dis_pred", "col_pred"}),
        scores=frozenset({"loud_pred"}),
        alone=frozenset(f"nisqa_{part}_pred" for part in _NISQA),
    ),
    # dnsmos_local.py (ITU-T P.835 and P.808).
    KnownTool(
        "DNSMOS",
        _FIVE_POINTS,
        together=frozenset({"ovrl", "sig", "bak"}),
        scores=frozenset({"ovrl_raw", "sig_raw", "bak_raw", "p808_mos"}),
        alone=frozenset({"dnsmos_overall", "dnsmos_p808", "dns_overall", "dns_p808"}),
    ),
    # Its command writes file_path and predicted_mos.
    KnownTool(
        "UTMOSv2",
        _FIVE_POINTS,
        together=frozenset({"file_path", "predicted_mos"}),
        alone=frozenset({"utmosv2"}),
    ),
    KnownTool("UTMOS", _FIVE_POINTS, alone=frozenset({"utmos"})),
    KnownTool(
        "SongEval",
        _FIVE_POINTS,
        together=frozenset({"coherence", "musicality", "memorability", "clarity"}),
        scores=frozenset({"naturalness"}),
    ),
    # Keys of VERSA's reports that name a predictor of mean opinion scores.
    KnownTool(
        "VERSA",
        _FIVE_POINTS,
        alone=frozenset({"plcmos", "sheet_ssqa", "singmos", "singmos_v2"}),
    ),
)


def known_tool(column: str, columns: Iterable[str]) -> KnownTool | None:
    """The tool that a column of scores is of, or None.

    Parameters
    ----------
    column : its name
    columns : names of all columns of the same file

    Examples
    --------
    >>> known_tool("PQ", ["path", "CE", "CU", "PC", "PQ"]).scale
    Scale(low=1.0, high=10.0)
    >>> known_tool("PQ", ["clip_id", "PQ"]) is None
    True
    """
    name = fold_name(column)
    present = {fold_name(other) for other in columns}
    for tool in KNOWN_TOOLS:
        if name in tool.alone:
            return tool
        is_its_output = bool(tool.together) and tool.together <= present
        if is_its_output and name in tool.together | tool.scores:
            return tool
    return None
