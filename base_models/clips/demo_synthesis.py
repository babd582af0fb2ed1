"""Little pieces of procedural music, and the ways in which a bad generator would spoil them.

A `Piece` says what is played (instrument, tempo, mode, density); `perform` writes its notes, adds them up from additive
timbres, gives them the system's `House` sound and then its `faults`. The trap: a fault must be heard more at each step
of severity, or the ratings simulated from severity would ask a model for what is not in the audio. So most faults move
on a logarithmic scale (decibels, octaves, cents), and house sounds differ in colour but not in quality.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

SAMPLE_RATE = 16_000
NOTE_SECONDS = 2.2
RELEASE = 480  # samples
LOUDNESS = 0.09  # root mean square of a finished clip, before the house level
LINE = (
    0.08  # amplitude of a house's steady line, in units of the clip's root mean square
)

MODES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
PROGRESSIONS = (
    (0, 5, 3, 4),
    (0, 3, 4, 0),
    (0, 4, 5, 3),
    (5, 3, 0, 4),
)  # scale degrees of the chord roots
TEMPI = {
    "slow": (58, 72),
    "moderate": (96, 112),
    "fast": (150, 178),
}  # beats per minute
BEATS_PER_CHORD = {"slow": 2, "moderate": 2, "fast": 4}
STEPS_PER_BEAT = {"sparse": 1, "dense": 3}


@dataclass(frozen=True)
class Timbre:
    """Partials of one instrument: frequency ratios, levels, decay rates (1/s); attack in s, register in semitones."""

    ratios: tuple[float, ...]
    levels: tuple[float, ...]
    decays: tuple[float, ...]
    attack: float = 0.004
    register: int = 0
    vibrato: float = 0.0  # cents
    breath: float = 0.0  # level of noise


def _harmonic(count: int, level, decay, **rest) -> Timbre:
    order = range(1, count + 1)
    return Timbre(
        tuple(map(float, order)),
        tuple(level(k) for k in order),
        tuple(decay(k) for k in order),
        **rest,
    )


INSTRUMENTS = {
    "piano": _harmonic(12, lambda k: k**-1.2, lambda k: 1.2 + 0.5 * k),
    "organ": Timbre(
        (0.5, 1, 1.5, 2, 3, 4, 6, 8),
        (0.6, 1, 0.5, 0.8, 0.5, 0.5, 0.3, 0.3),
        (0.0,) * 8,
        attack=0.03,
    ),
    "flute": _harmonic(
        4,
        lambda k: 0.3 ** (k - 1),
        lambda k: 0.0,
        attack=0.07,
        register=12,
        vibrato=14,
        breath=0.03,
    ),
    "strings": _harmonic(
        20,
        lambda k: abs(np.sin(0.7 * k)) / k,
        lambda k: 2.5 + 0.15 * k * k,
        attack=0.001,
    ),
    "bells": Timbre(
        (0.56, 0.92, 1.19, 1.71, 2.0, 2.74, 3.0, 3.76, 4.07),
        (0.5, 1.0, 0.6, 0.5, 0.7, 0.4, 0.4, 0.3, 0.3),
        (0.8, 1.0, 1.3, 1.6, 2.0, 2.6, 3.0, 3.6, 4.0),
        attack=0.001,
        register=12,
    ),
    "bass": _harmonic(
        24, lambda k: 1.0 / k, lambda k: 0.6 + 0.1 * k, attack=0.01, register=-24
    ),
}


@dataclass(frozen=True)
class Piece:
    """What is asked for, or what is played."""

    instrument: str
    tempo: str
    mode: str
    density: str


@dataclass(frozen=True)
class House:
    """The colour of all that a system makes: tilt (dB per octave), a resonance and a faint steady line (Hz), level."""

    tilt: float
    resonance: float
    line: float
    level: float


@dataclass(frozen=True)
class Note:
    """One note: start and length in seconds, MIDI pitch, gain."""

    start: float
    pitch: int
    length: float
    gain: float


class Band:
    """Notes of every instrument, made once each and kept as long as the band is."""

    def __init__(self):
        self._waves: dict[tuple[str, int], np.ndarray] = {}
        noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE // 8)
        self.drum = (
            np.diff(noise, append=0.0) * np.exp(-np.arange(noise.size) / 300.0)
        ).astype(np.float32)

    def wave(self, instrument: str, pitch: int) -> np.ndarray:
        """One held note, float32 of shape (NOTE_SECONDS · SAMPLE_RATE,), peak 1."""
        key = (instrument, pitch)
        if key not in self._waves:
            self._waves[key] = _note_wave(INSTRUMENTS[instrument], pitch)
        return self._waves[key]


def _note_wave(timbre: Timbre, pitch: int) -> np.ndarray:
    time = np.arange(int(NOTE_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    bent = time + timbre.vibrato * (np.log(2) / 1200) / (2 * np.pi * 5.2) * np.sin(
        2 * np.pi * 5.2 * time
    )
    base = 440.0 * 2.0 ** ((pitch - 69) / 12)
    since = time.astype(np.float32)
    wave = np.zeros(time.size, np.float32)
    for ratio, level, decay in zip(
        timbre.ratios, timbre.levels, timbre.decays, strict=True
    ):
        if base * ratio < 0.47 * SAMPLE_RATE:
            cycles = base * ratio * bent
            angle = np.float32(2 * np.pi) * (cycles - np.floor(cycles)).astype(
                np.float32
            )  # small, so float32 will do
            wave += (
                np.float32(level) * np.exp(np.float32(-decay) * since) * np.sin(angle)
            )
    wave += np.float32(timbre.breath) * np.random.default_rng(pitch).standard_normal(
        time.size, dtype=np.float32
    )
    wave *= np.minimum(since / np.float32(timbre.attack), np.float32(1.0))
    return wave / np.abs(wave).max()


def compose(
    piece: Piece, bpm: float, seconds: float, rng: np.random.Generator
) -> list[Note]:
    """Chords, bass and a melody that walks the scale and rests on chord tones at each change of chord."""
    scale, progression = (
        MODES[piece.mode],
        PROGRESSIONS[rng.integers(len(PROGRESSIONS))],
    )
    tonic = 60 + INSTRUMENTS[piece.instrument].register + int(rng.integers(-4, 5))
    beat, per_chord = 60.0 / bpm, BEATS_PER_CHORD[piece.tempo]
    steps = STEPS_PER_BEAT[piece.density]
    notes, degree = [], 4
    for i in range(int(seconds / beat * steps)):
        root = progression[i // (per_chord * steps) % 4]
        start, strong = i * beat / steps, i % (per_chord * steps) == 0
        if strong:
            length, voices = (
                per_chord * beat,
                (0, 2, 4) if piece.density == "dense" else (0, 2),
            )
            notes += [
                Note(start, tonic - 12 + _pitch(scale, root + voice), length, 0.3)
                for voice in voices
            ]
            degree = root + 2 * round((degree - root) / 2)
        elif rng.random() < (0.35 if piece.density == "sparse" else 0.08):
            continue  # a rest
        else:
            degree = int(np.clip(degree + rng.integers(-2, 3), -2, 11))
        notes.append(
            Note(
                start,
                tonic + _pitch(scale, degree),
                beat / steps * 1.3,
                rng.uniform(0.5, 0.8),
            )
        )
    return notes


def _pitch(scale: tuple[int, ...], degree: int) -> int:
    octave, step = divmod(degree, len(scale))
    return 12 * octave + scale[step]


def _mix(
    piece: Piece, notes: list[Note], beat: float, seconds: float, band: Band
) -> np.ndarray:
    mix = np.zeros(int(seconds * SAMPLE_RATE), np.float32)
    fade = np.linspace(1, 0, RELEASE, dtype=np.float32)
    for note in notes:
        wave, start = (
            band.wave(piece.instrument, note.pitch),
            max(0, int(note.start * SAMPLE_RATE)),
        )
        stop = min(int(note.length * SAMPLE_RATE) + RELEASE, wave.size)
        played = np.float32(note.gain) * wave[:stop]
        played[-RELEASE:] *= fade
        room = mix[start : start + stop]
        room += played[: room.size]
    for start in np.arange(
        0.0, seconds, beat
    ):  # a quiet click on each beat makes the tempo audible
        room = mix[int(start * SAMPLE_RATE) :][: band.drum.size]
        room += np.float32(0.12) * band.drum[: room.size]
    return mix


def _filtered(audio: np.ndarray, response) -> np.ndarray:
    size = next_fast_len(audio.size + 2048, real=True)
    gain = response(np.maximum(rfftfreq(size, 1 / SAMPLE_RATE), 20.0)).astype(
        np.float32
    )
    return irfft(rfft(audio, size) * gain, size)[: audio.size]


def _rms(audio: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))) + 1e-9


def _hissing(audio, severity, character, rng):
    noise = rng.standard_normal(audio.size, dtype=np.float32)
    noise = noise - np.float32(0.9 * character) * np.roll(noise, 1)
    return (
        audio
        + np.float32(_rms(audio) / _rms(noise) * 10 ** (-(48 - 46 * severity) / 20))
        * noise
    )


def _muffled(audio, severity, character, rng):
    cutoff = 7000.0 * (350.0 / 7000.0) ** severity
    return _filtered(
        audio, lambda hertz: 1 / np.sqrt(1 + (hertz / cutoff) ** (4 + 4 * character))
    )


def _clipped(audio, severity, character, rng):
    ceiling = np.float32(np.abs(audio).max() * 10 ** (-36 * severity / 20))
    return np.clip(audio, -ceiling * np.float32(1 - 0.7 * character), ceiling)


def _wavering(audio, severity, character, rng):
    rate, cents = 2.0 + 4.0 * character, 180.0 * severity
    time = np.arange(audio.size, dtype=np.float64)
    bend = (2 ** (cents / 1200) - 1) * SAMPLE_RATE / (2 * np.pi * rate)
    warped = time + bend * np.sin(
        2 * np.pi * rate * time / SAMPLE_RATE + rng.uniform(0, 6.28)
    )
    return np.interp(warped, time, audio).astype(np.float32)


def _broken(audio, severity, character, rng):
    length = int((0.02 + 0.1 * character) * SAMPLE_RATE)
    gaps = rng.random(audio.size // length + 1) < 0.65 * severity
    return audio * ~np.repeat(gaps, length)[: audio.size]


def _metallic(audio, severity, character, rng):
    ring = np.sin(
        2 * np.pi * (500 + 1500 * character) / SAMPLE_RATE * np.arange(audio.size)
    ).astype(np.float32)
    wet = np.float32(10 ** (-(30 - 30 * severity) / 20))
    return (1 - np.float32(0.8 * severity)) * audio + wet * ring * audio


def _crushed(audio, severity, character, rng):
    step = np.float32(np.abs(audio).max() * 2.0 ** -(9 - 8 * severity))
    hold = 1 + round((2 + 4 * character) * severity)
    return np.repeat(np.round(audio[::hold] / step) * step, hold)[: audio.size].astype(
        np.float32
    )


FAULTS = {
    "hissing": _hissing,
    "muffled": _muffled,
    "clipped": _clipped,
    "wavering": _wavering,
    "broken": _broken,
    "metallic": _metallic,
    "crushed": _crushed,
}
UNSTEADY = "unsteady"  # jitter of note onsets: a fault of the playing, so not among those of the sound


def perform(
    piece: Piece,
    bpm: float,
    seconds: float,
    house: House,
    faults: Mapping[str, tuple[float, float]],
    rng: np.random.Generator,
    band: Band,
) -> np.ndarray:
    """One clip.

    Parameters
    ----------
    piece, bpm, seconds : what is played, how fast, for how long
    house : colour of the system
    faults : name in `FAULTS` or `UNSTEADY` → (severity in 0..1, character in 0..1), applied in order
    rng, band : randomness of this clip, and the notes shared by all clips

    Returns
    -------
    audio : float32 of shape (seconds · SAMPLE_RATE,), within ±1
    """
    notes = compose(piece, bpm, seconds, rng)
    jitter = 0.12 * faults.get(UNSTEADY, (0.0, 0.0))[0]
    notes = [
        Note(n.start + jitter * rng.standard_normal(), n.pitch, n.length, n.gain)
        for n in notes
    ]
    audio = _mix(piece, notes, 60.0 / bpm, seconds, band)

    def colour(hertz):
        octaves = np.log2(hertz / 1000.0)
        peak = 18.0 * np.exp(-0.5 * (np.log2(hertz / house.resonance) / 0.3) ** 2)
        return 10 ** ((house.tilt * octaves + peak) / 20)

    audio = _filtered(audio, colour)
    for name, (severity, character) in faults.items():
        if name != UNSTEADY:
            audio = FAULTS[name](audio, severity, character, rng)
    line = np.sin(2 * np.pi * house.line / SAMPLE_RATE * np.arange(audio.size)).astype(
        np.float32
    )
    audio = (
        audio * np.float32(1 / _rms(audio)) + np.float32(LINE) * line
    )  # as an upsampling vocoder leaves one
    audio *= np.float32(house.level * LOUDNESS)
    return (audio * min(1.0, 0.97 / np.abs(audio).max())).astype(np.float32)
