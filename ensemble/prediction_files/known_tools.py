"""Layouts of tools that are known by the columns of what they write.

A tool is recognised by the names of its columns alone, never by the name of a file: a
file can be called anything. A column such as ``CE`` is Audiobox's only beside its three
siblings; a column such as ``audiobox_aesthetics_CE`` says by itself what it is.

`KNOWN_TOOLS` is the one table of layouts: the scale of the scores, which of them become
models when nobody names any, which others can be named, and which numbers are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from base_models.clips.columns import fold_name
from base_models.scales import Scale

_FIVE_POINTS = Scale(1, 5)
_AUDIOBOX = ("ce", "cu", "pc", "pq")
_AUDIOBOX_IN_WORDS = (
    "content_enjoyment",
    "content_usefulness",
    "production_complexity",
    "production_quality",
)
_NISQA = ("mos", "noi", "dis", "col", "loud")

PATHS_OF_TOOLS = ("location",)
"""Columns of paths that only single tools write (PAM)."""


@dataclass(frozen=True)
class KnownTool:
    """A tool whose output is recognised.

    Parameters
    ----------
    name : for people
    scale : of its scores
    together : names of columns, normalised, which must all be there
    taken : columns of scores that are models where nobody names any, in this order
    by_name : further columns of scores, which are models where they are named
    never : numbers that it writes beside them, which are no scores
    alone : columns of scores that say by themselves whose they are
    """

    name: str
    scale: Scale
    together: frozenset[str] = frozenset()
    taken: tuple[str, ...] = ()
    by_name: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()
    alone: frozenset[str] = frozenset()

    @property
    def scores(self) -> frozenset[str]:
        """All columns of scores of its own layout."""
        return self.by_name | frozenset(self.taken)


_DNSMOS_NEVER = frozenset({"len_in_sec", "sr", "num_hops"})

KNOWN_TOOLS = (
    # arXiv 2502.05139: ten points per axis; its command writes CE, CU, PC, PQ, in the
    # order of its input and without ids. musegauge adds clip_id.
    KnownTool(
        "Audiobox Aesthetics",
        Scale(1, 10),
        together=frozenset(_AUDIOBOX),
        taken=_AUDIOBOX,
        alone=frozenset(f"audiobox_aesthetics_{axis}" for axis in _AUDIOBOX),
    ),
    KnownTool(
        "Audiobox Aesthetics",
        Scale(1, 10),
        together=frozenset(_AUDIOBOX_IN_WORDS),
        taken=_AUDIOBOX_IN_WORDS,
    ),
    # run_predict.py of NISQA 2: overall quality, then four dimensions of it. The TTS
    # model writes mos_pred alone.
    KnownTool(
        "NISQA",
        _FIVE_POINTS,
        together=frozenset({"mos_pred", "noi_pred", "dis_pred", "col_pred"}),
        taken=("mos_pred",),
        by_name=frozenset({"noi_pred", "dis_pred", "col_pred", "loud_pred"}),
        alone=frozenset(f"nisqa_{part}_pred" for part in _NISQA),
    ),
    # dnsmos_local.py (ITU-T P.835 and P.808); raw: before the fit to the ratings.
    KnownTool(
        "DNSMOS",
        _FIVE_POINTS,
        together=frozenset({"ovrl", "sig", "bak"}),
        taken=("ovrl", "sig", "bak", "p808_mos"),
        by_name=frozenset({"ovrl_raw", "sig_raw", "bak_raw"}),
        never=_DNSMOS_NEVER,
        alone=frozenset({"dnsmos_overall", "dnsmos_p808", "dns_overall", "dns_p808"}),
    ),
    # The package speechmos.
    KnownTool(
        "DNSMOS",
        _FIVE_POINTS,
        together=frozenset({"ovrl_mos", "sig_mos", "bak_mos"}),
        taken=("ovrl_mos", "sig_mos", "bak_mos", "p808_mos"),
        never=_DNSMOS_NEVER,
    ),
    # Its command writes file_path and predicted_mos.
    KnownTool(
        "UTMOSv2",
        _FIVE_POINTS,
        together=frozenset({"file_path", "predicted_mos"}),
        taken=("predicted_mos",),
        alone=frozenset({"utmosv2"}),
    ),
    KnownTool("UTMOS", _FIVE_POINTS, alone=frozenset({"utmos"})),
    # eval.py writes a JSON object of clips, of which each has five axes.
    KnownTool(
        "SongEval",
        _FIVE_POINTS,
        together=frozenset({"coherence", "musicality"}),
        taken=("coherence", "musicality", "memorability", "clarity", "naturalness"),
    ),
    # SHEET adds the column answer to a table of MOS-Bench; avg_score is the truth.
    KnownTool(
        "SHEET",
        _FIVE_POINTS,
        together=frozenset({"avg_score", "answer"}),
        taken=("answer",),
        never=frozenset({"avg_score", "score", "listener_idx"}),
    ),
    KnownTool(
        "SHEET",
        _FIVE_POINTS,
        together=frozenset({"wav_path", "answer"}),
        taken=("answer",),
        never=frozenset({"score", "listener_idx"}),
    ),
    # Lines of JSON with what was read, and a probability.
    KnownTool(
        "PAM",
        Scale(0, 1),
        together=frozenset({"location", "q_score"}),
        taken=("q_score",),
        alone=frozenset({"pam"}),
    ),
    # Keys of VERSA's reports that name a predictor of mean opinion scores.
    KnownTool(
        "VERSA",
        _FIVE_POINTS,
        alone=frozenset(
            {
                *("plcmos", "sheet_ssqa", "singmos", "singmos_v2"),
                *("dnsmos_pro_bvcc", "dnsmos_pro_nisqa", "dnsmos_pro_vcc2018"),
            }
        ),
    ),
)


@dataclass(frozen=True)
class Layout:
    """What a file is, as its columns tell.

    Parameters
    ----------
    tool : its name
    taken : columns that are models, as the file writes them
    others : columns of scores that are models where they are named
    never : numbers that are no scores
    """

    tool: str
    taken: tuple[str, ...]
    others: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


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
        if is_its_output and name in tool.scores:
            return tool
    return None


def known_layout(columns: Sequence[str], numbers: Sequence[str]) -> Layout | None:
    """The layout of a file that a known tool wrote as it is, or None.

    A table to which somebody added columns of other models is no such file: a tool's
    own choice of columns would leave these out.

    Parameters
    ----------
    columns : all columns of the file
    numbers : those that may be models, see `table_columns.may_be_models`

    Examples
    --------
    >>> nisqa = ["mos_pred", "noi_pred", "dis_pred", "col_pred"]
    >>> known_layout(["deg", *nisqa], nisqa).taken
    ('mos_pred',)
    >>> known_layout(["deg", *nisqa, "mine"], [*nisqa, "mine"]) is None
    True
    """
    name_of = {fold_name(name): name for name in columns}
    for tool in KNOWN_TOOLS:
        if not tool.together or not tool.together <= set(name_of):
            continue
        known = tool.scores | tool.never | tool.together
        if not all(fold_name(name) in known for name in numbers):
            continue
        return Layout(
            tool.name,
            taken=tuple(name_of[name] for name in tool.taken if name in name_of),
            others=tuple(name_of[name] for name in name_of if name in tool.by_name),
            never=tuple(name_of[name] for name in name_of if name in tool.never),
        )
    return _layout_of_versa(columns, numbers)


def _layout_of_versa(columns: Sequence[str], numbers: Sequence[str]) -> Layout | None:
    """The layout of a report of VERSA: a key, and whatever metrics were asked for."""
    if fold_name(columns[0]) != "key":
        return None
    opinions = [name for name in numbers if known_tool(name, ()) is not None]
    # Metrics such as an error rate predict no ratings, but may be asked for.
    if len(opinions) < min(2, len(numbers)):
        return None
    # Of NISQA, overall quality alone, as in its own layout.
    parts = {f"nisqa_{part}_pred" for part in _NISQA if part != "mos"}
    taken = [name for name in opinions if fold_name(name) not in parts]
    others = [name for name in numbers if name not in taken]
    return Layout("VERSA", tuple(taken or opinions), others=tuple(others))
