"""Find clips that are one recording.

Two clips are the same where their samples are equal, or where their waveforms below
2 kHz, aligned, correlate by at least `SAME` over at least half of the longer clip, and
neither lacks a band that the other has. So a recording is recognised in another
container, at another level or sample rate, trimmed, with slight noise, or through a
lossy format that keeps its bands up to 10 kHz.

Renderings by neural codecs and vocoders differ in their waveforms, and versions through
a low-pass filter in their bands: these are other clips, to which listeners give other
ratings. What keeps the waveform cannot be told apart: a transparent codec passes for
the recording itself. A single tone fits any other of its pitch, and is compared by its
samples alone; so is what hardly sounds below 2 kHz.

Segments of one file that overlap are one recording too, however little they have in
common: models would be tested on seconds that they were trained on. Segments that
follow each other are not.

All pairs are compared by their fine spectra, in blocks of a matrix product; only the
few that are alike there by their envelopes, and only the few of these by waveform.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from base_models.clips.same_audio.fingerprint import Fingerprint
from base_models.clips.same_audio.stretches import overlaps

SAME = 0.985
"""Correlation of two aligned waveforms from which on they are one recording.

Of the versions of an utterance through seven codecs the nearest two reach 0.972, other
than those that differ in their bands alone; copies with noise at 20 dB have 0.993.
``tests/benchmarks/leaks/bench_leaks.py`` measures both.
"""

# What copies pass, also when they are trimmed by half a second and noisy: 0.63, 0.64
# and 0.99 are the least that were measured.
_ALIKE_SPECTRA = 0.5
_ALIKE_ENVELOPES = 0.55
_ALIKE_WAVEFORMS = 0.8
# A steady envelope, with a smaller standard deviation relative to its mean than this,
# is mostly noise, and tells nothing.
_STEADY = 0.15

# A clip lacks a band that is this much weaker than in the other (dB), where that one
# has it (relative to its whole power) as something that varies in time. Noise does not.
_CUT = 20.0
_HEARD = -60.0
_VARIES = 3.0

# Rows of the matrix of spectra that are multiplied at a time.
_BLOCK = 1024
# Shifts of less than a sample that are tried around the best one.
_FINE_SHIFTS = np.linspace(-0.25, 0.25, 11)


@dataclass(frozen=True)
class SamePair:
    """Two clips that are one recording.

    Parameters
    ----------
    first, second : str
        Their ids.
    similarity : float
        Correlation of the aligned waveforms; 1 where the samples are equal.
    common_seconds : float
        Of segments of one file, how much of it is in both; 0 of other clips.
    """

    first: str
    second: str
    similarity: float
    common_seconds: float = 0.0

    @property
    def common_text(self) -> str:
        """How much of a file two segments have in common, in words."""
        # Both go to the end of their file, wherever that is.
        if math.isinf(self.common_seconds):
            return "the end of the file"
        return f"{self.common_seconds:.1f} s"


def pairs_text(
    pairs: Sequence[SamePair],
    place_of: Mapping[str, str],
    limit: int = 5,
) -> str:
    """The first `limit` pairs for a message, each clip with its place, if it has one.

    >>> pairs = [SamePair("a", "b", 1.0), SamePair("a", "c", 0.9987)]
    >>> pairs_text(pairs, {"a": "train", "b": "test"})
    "'a' (train) = 'b' (test), 'a' (train) = 'c' (by its sound, 0.999)"
    """

    def name(clip: str) -> str:
        place = place_of.get(clip, "")
        return f"'{clip}' ({place})" if place else f"'{clip}'"

    texts = []
    for pair in pairs[:limit]:
        text = f"{name(pair.first)} = {name(pair.second)}"
        if pair.common_seconds:
            text += f" (with {pair.common_text} in common)"
        # Copies of equal samples need no number.
        elif pair.similarity < 1:
            text += f" (by its sound, {pair.similarity:.3f})"
        texts.append(text)
    if len(pairs) > limit:
        texts[-1] += f" and {len(pairs) - limit} more pairs"
    return ", ".join(texts)


def same_pairs(prints: Mapping[str, Fingerprint]) -> list[SamePair]:
    """Pairs of clips that are one recording.

    Of several clips with equal samples each is paired with the first alone, and that
    with the others.

    Parameters
    ----------
    prints : mapping from str to Fingerprint
        By clip id.
    """
    first_of_digest: dict[str, str] = {}
    pairs = []
    for clip, of_clip in prints.items():
        first = first_of_digest.setdefault(of_clip.digest, clip)
        if first != clip:
            pairs.append(SamePair(first, clip, similarity=1.0))

    stretches = {}
    for clip in first_of_digest.values():
        stretch = prints[clip].stretch
        if stretch is not None:
            stretches[clip] = stretch
    known = set()
    for first, clip, common in overlaps(stretches):
        pairs.append(SamePair(first, clip, similarity=1.0, common_seconds=common))
        known.add(frozenset((first, clip)))

    heard = [clip for clip in first_of_digest.values() if prints[clip].is_comparable]
    compared = [prints[clip] for clip in heard]
    for row, column, similarity in _acoustic_pairs(compared):
        # Segments that overlap by much sound alike as well.
        if frozenset((heard[row], heard[column])) not in known:
            pairs.append(SamePair(heard[row], heard[column], similarity))
    return pairs


def groups_of(clip_ids: Iterable[str], pairs: Sequence[SamePair]) -> dict[str, str]:
    """The first clip, in the order of the ids, of the group of each clip.

    Clips are in one group where a chain of pairs links them.

    >>> groups_of(["a", "b", "c", "d"], [SamePair("d", "b", 1.0)])
    {'a': 'a', 'b': 'b', 'c': 'c', 'd': 'b'}
    """
    clips = list(dict.fromkeys(clip_ids))
    place = {clip: row for row, clip in enumerate(clips)}
    linked = [pair for pair in pairs if pair.first in place and pair.second in place]
    rows = [place[pair.first] for pair in linked]
    columns = [place[pair.second] for pair in linked]
    links = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(clips),) * 2)
    _, group = connected_components(links, directed=False)

    first_of_group: dict[int, str] = {}
    for clip in sorted(clips):
        first_of_group.setdefault(group[place[clip]], clip)
    return {clip: first_of_group[group[place[clip]]] for clip in clips}


def similarity(first: Fingerprint, second: Fingerprint) -> float:
    """Correlation of two waveforms at their best alignment, in [0, 1].

    A waveform of the other sign counts as the same. The two overlap by at least half of
    the longer; 0 where they cannot.
    """
    a = first.signal.astype(np.float64)
    b = second.signal.astype(np.float64)
    lags = _lags(len(a), len(b))
    if not len(lags):
        return 0.0

    n = fft.next_fast_len(len(a) + len(b), real=True)
    cross = fft.rfft(a, n) * np.conj(fft.rfft(b, n))
    # Twice the rate: between two samples the correlation may be far from its peak.
    products = 2 * fft.irfft(cross, 2 * n)
    sizes = np.sqrt(_overlap_energies(a, b, lags))
    halves = np.arange(2 * lags[0], 2 * lags[-1] + 1)
    size_at = np.interp(halves / 2, lags, sizes)
    correlations = np.abs(products[halves]) / np.maximum(size_at, 1e-9)
    best = int(correlations.argmax())
    if correlations[best] < _ALIKE_WAVEFORMS:
        return float(correlations[best])

    # The shift that fits best lies between these; there the sum is taken directly.
    shifts = halves[best] / 2 + _FINE_SHIFTS
    angles = 2j * np.pi / n * np.arange(len(cross))
    # The constant and the highest frequency count once, all others twice.
    cross[1:] *= 2
    fine = np.real(np.exp(np.outer(shifts, angles)) @ cross) / n
    return float(min(np.abs(fine).max() / max(size_at[best], 1e-9), 1.0))


def lacks_band(first: Fingerprint, second: Fingerprint) -> bool:
    """Whether one of two clips lacks a band that is heard in the other."""
    gap = first.band_levels - second.band_levels
    is_first_louder = gap > 0
    level = np.where(is_first_louder, first.band_levels, second.band_levels)
    spread = np.where(is_first_louder, first.band_spreads, second.band_spreads)
    # Bands that one of the files cannot hold are NaN, and no comparison holds there.
    is_cut = (np.abs(gap) >= _CUT) & (level >= _HEARD) & (spread >= _VARIES)
    return bool(is_cut.any())


def _acoustic_pairs(
    prints: Sequence[Fingerprint],
) -> Iterator[tuple[int, int, float]]:
    """Places and similarity of the pairs that sound the same."""
    if len(prints) < 2:
        return
    spectra = np.stack([of_clip.spectrum for of_clip in prints])
    envelopes = _Envelopes(prints)
    for start in range(0, len(prints), _BLOCK):
        products = spectra[start : start + _BLOCK] @ spectra[start:].T
        # Each pair once: columns after the row itself.
        alike = np.triu(products > _ALIKE_SPECTRA, k=1)
        for row in np.flatnonzero(alike.any(axis=1)).tolist():
            columns = start + np.flatnonzero(alike[row])
            for column in envelopes.alike(start + row, columns):
                first = prints[start + row]
                second = prints[column]
                if lacks_band(first, second):
                    continue
                found = similarity(first, second)
                if found >= SAME:
                    yield start + row, column, found


class _Envelopes:
    """Envelopes of clips, transformed once and compared in batches.

    Parameters
    ----------
    prints : of n clips
    """

    def __init__(self, prints: Sequence[Fingerprint]):
        envelopes = [of_clip.envelope for of_clip in prints]
        longest = max(len(envelope) for envelope in envelopes)
        self.n = fft.next_fast_len(2 * longest, real=True)
        padded = np.zeros((len(envelopes), self.n), dtype=np.float32)
        self.steady = np.zeros(len(envelopes), dtype=bool)
        for row, envelope in enumerate(envelopes):
            mean = float(envelope.mean())
            deviation = envelope - mean
            size = float(np.linalg.norm(deviation))
            self.steady[row] = size <= _STEADY * mean * np.sqrt(len(envelope))
            padded[row, : len(envelope)] = deviation / max(size, 1e-9)
        self.transforms = fft.rfft(padded, axis=1)

    def alike(self, row: int, columns: np.ndarray) -> list[int]:
        """Those of `columns` whose envelope is like that of `row` at some shift."""
        found = []
        for start in range(0, len(columns), _BLOCK):
            batch = columns[start : start + _BLOCK]
            cross = self.transforms[row] * np.conj(self.transforms[batch])
            largest = fft.irfft(cross, self.n, axis=1).max(axis=1)
            is_alike = largest >= _ALIKE_ENVELOPES
            # Nothing is known of those that are steady, so they go on.
            is_alike |= self.steady[row] | self.steady[batch]
            found += batch[is_alike].tolist()
        return found


def _lags(n_first: int, n_second: int) -> np.ndarray:
    """Shifts of the second of two signals at which half of the longer one overlaps."""
    needed = -(-max(n_first, n_second) // 2)
    return np.arange(needed - n_second, n_first - needed + 1)


def _overlap_energies(a: np.ndarray, b: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Product of the energies of the two parts that overlap, at each lag."""
    # ``a[i + lag]`` stands beside ``b[i]``.
    sums_a = np.concatenate([[0.0], np.cumsum(a**2)])
    sums_b = np.concatenate([[0.0], np.cumsum(b**2)])
    start = np.maximum(lags, 0)
    end = np.minimum(len(a), len(b) + lags)
    energy_a = sums_a[end] - sums_a[start]
    energy_b = sums_b[end - lags] - sums_b[start - lags]
    return energy_a * energy_b
