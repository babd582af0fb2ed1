"""A predicted distribution as a small SVG of a few hundred bytes."""

from __future__ import annotations

from markupsafe import Markup, escape

from ensemble.reporting.section import Strip

WIDTH = 120
HEIGHT = 24
_BARS = 18
"""Height of the largest bar; the interval lies below the bars."""
_INTERVAL = 21


def strip_svg(strip: Strip) -> Markup:
    """The picture as an ``<svg>`` element, whose title says the same in words."""
    mean = _place(strip, strip.mean)
    low = _place(strip, strip.low)
    high = _place(strip, strip.high)
    # Strings of one path each are a third of the size of a rectangle per bin, and a
    # page has hundreds of them.
    return Markup(
        f'<svg class="strip" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>{escape(strip.words)}</title>"
        # From end to end of the scale, so that places on it can be compared.
        f'<path class="b" d="M0 {_BARS}H{WIDTH}"/>'
        f'<path class="d" d="{_bars(strip)}"/>'
        f'<path class="i" d="M{low} {_INTERVAL}H{high}"/>'
        f'<path class="m" d="M{mean} 0V{HEIGHT}"/></svg>'
    )


def _bars(strip: Strip) -> str:
    """The outline of the bars from left to right, the largest as high as there is room.

    Heights are relative to the largest: the picture shows where a distribution lies and
    how wide it is, not how high.
    """
    largest = max(strip.probabilities)
    n_bins = len(strip.probabilities)
    outline = f"M0 {_BARS}"
    for k, probability in enumerate(strip.probabilities):
        top = _BARS - _BARS * probability / largest
        outline += f"V{top:.3g}H{(k + 1) * WIDTH / n_bins:.4g}"
    return f"{outline}V{_BARS}Z"


def _place(strip: Strip, score: float) -> str:
    span = strip.scale_high - strip.scale_low
    share = (score - strip.scale_low) / span
    # Intervals may reach beyond the scale; the picture does not.
    return f"{WIDTH * min(max(share, 0.0), 1.0):.4g}"
