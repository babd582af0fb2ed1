"""Short pieces of procedural music, and the faults of bad generators.

A `Piece` says what is played (instrument, tempo, mode, density). `perform` composes its
notes, adds them up from additive timbres, gives them the `House` sound of the system
and then applies its faults.

A fault has to be heard more at each step of severity: the ratings are simulated from
the severity, and a model can only learn what is in the audio. Most faults therefore
move on a logarithmic scale (decibels, octaves, cents), and house sounds differ in
colour but not in quality.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

SAMPLE_RATE = 16_000
NOTE_SECONDS = 2.2

# Length of the fade at the end of each note, in samples.
RELEASE_SAMPLES = 480

# Root mean square of a finished clip, before the level of its house.
LOUDNESS = 0.09

# Amplitude of a house's steady line, relative to the clip's root mean square.
LINE_AMPLITUDE = 0.08

# Semitones of the seven scale degrees above the tonic.
MODES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}

# Scale degrees of the roots of four chords.
PROGRESSIONS = ((0, 5, 3, 4), (0, 3, 4, 0), (0, 4, 5, 3), (5, 3, 0, 4))

# Lowest and highest number of beats per minute.
TEMPI = {"slow": (58, 72), "moderate": (96, 112), "fast": (150, 178)}

BEATS_PER_CHORD = {"slow": 2, "moderate": 2, "fast": 4}
STEPS_PER_BEAT = {"sparse": 1, "dense": 3}

_MIDDLE_C = 60
_VIBRATO_HZ = 5.2
_ACCOMPANIMENT_GAIN = 0.3
_CLICK_GAIN = 0.12


# ---- instruments


@dataclass(frozen=True)
class Partial:
    """One partial of an instrument: frequency ratio, level, and decay rate in 1/s."""

    ratio: float
    level: float
    decay: float


@dataclass(frozen=True)
class Timbre:
    """Sound of one instrument.

    Parameters
    ----------
    partials : tuple of Partial
    attack : float
        Duration in seconds.
    register : int
        Transposition in semitones.
    vibrato : float
        Depth in cents.
    breath : float
        Level of noise.
    """

    partials: tuple[Partial, ...]
    attack: float = 0.004
    register: int = 0
    vibrato: float = 0.0
    breath: float = 0.0


def _harmonics(
    count: int,
    level: Callable[[int], float],
    decay: Callable[[int], float],
) -> tuple[Partial, ...]:
    """The first `count` harmonics, with level and decay as functions of their order."""
    partials = []
    for k in range(1, count + 1):
        partials.append(Partial(float(k), level=level(k), decay=decay(k)))
    return tuple(partials)


INSTRUMENTS = {
    "piano": Timbre(
        partials=_harmonics(12, level=lambda k: k**-1.2, decay=lambda k: 1.2 + 0.5 * k),
    ),
    "organ": Timbre(
        partials=(
            Partial(0.5, level=0.6, decay=0.0),
            Partial(1, level=1, decay=0.0),
            Partial(1.5, level=0.5, decay=0.0),
            Partial(2, level=0.8, decay=0.0),
            Partial(3, level=0.5, decay=0.0),
            Partial(4, level=0.5, decay=0.0),
            Partial(6, level=0.3, decay=0.0),
            Partial(8, level=0.3, decay=0.0),
        ),
        attack=0.03,
    ),
    "flute": Timbre(
        partials=_harmonics(4, level=lambda k: 0.3 ** (k - 1), decay=lambda k: 0.0),
        attack=0.07,
        register=12,
        vibrato=14,
        breath=0.03,
    ),
    "strings": Timbre(
        partials=_harmonics(
            20,
            level=lambda k: abs(np.sin(0.7 * k)) / k,
            decay=lambda k: 2.5 + 0.15 * k * k,
        ),
        attack=0.001,
    ),
    "bells": Timbre(
        partials=(
            Partial(0.56, level=0.5, decay=0.8),
            Partial(0.92, level=1.0, decay=1.0),
            Partial(1.19, level=0.6, decay=1.3),
            Partial(1.71, level=0.5, decay=1.6),
            Partial(2.0, level=0.7, decay=2.0),
            Partial(2.74, level=0.4, decay=2.6),
            Partial(3.0, level=0.4, decay=3.0),
            Partial(3.76, level=0.3, decay=3.6),
            Partial(4.07, level=0.3, decay=4.0),
        ),
        attack=0.001,
        register=12,
    ),
    "bass": Timbre(
        partials=_harmonics(24, level=lambda k: 1.0 / k, decay=lambda k: 0.6 + 0.1 * k),
        attack=0.01,
        register=-24,
    ),
}


class Band:
    """Notes of all instruments, each computed once and kept as long as the band is."""

    def __init__(self) -> None:
        self._waves: dict[tuple[str, int], np.ndarray] = {}

        noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE // 8)
        envelope = np.exp(-np.arange(noise.size) / 300.0)
        self.drum = (np.diff(noise, append=0.0) * envelope).astype(np.float32)

    def wave(self, instrument: str, pitch: int) -> np.ndarray:
        """One held note with peak 1.

        Returns
        -------
        wave : float32 array of shape (NOTE_SECONDS * SAMPLE_RATE,)
        """
        key = (instrument, pitch)
        if key not in self._waves:
            self._waves[key] = _note_wave(INSTRUMENTS[instrument], pitch)
        return self._waves[key]


def _note_wave(timbre: Timbre, pitch: int) -> np.ndarray:
    seconds = np.arange(int(NOTE_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    seconds32 = seconds.astype(np.float32)
    fundamental = 440.0 * 2.0 ** ((pitch - 69) / 12)

    # Vibrato bends the time axis, so that it moves all partials by the same interval.
    vibrato_speed = 2 * np.pi * _VIBRATO_HZ
    bend = timbre.vibrato * (np.log(2) / 1200) / vibrato_speed
    bent_seconds = seconds + bend * np.sin(vibrato_speed * seconds)

    wave = np.zeros(seconds.size, np.float32)
    for partial in timbre.partials:
        hertz = fundamental * partial.ratio
        # A partial near or above half the sample rate would alias.
        if hertz >= 0.47 * SAMPLE_RATE:
            continue
        cycles = hertz * bent_seconds
        # Only the fraction of a cycle counts; it is small enough for float32.
        fraction = (cycles - np.floor(cycles)).astype(np.float32)
        angle = np.float32(2 * np.pi) * fraction
        decay = np.exp(np.float32(-partial.decay) * seconds32)
        wave += np.float32(partial.level) * decay * np.sin(angle)

    noise_rng = np.random.default_rng(pitch)
    noise = noise_rng.standard_normal(seconds.size, dtype=np.float32)
    wave += np.float32(timbre.breath) * noise

    attack = np.minimum(seconds32 / np.float32(timbre.attack), np.float32(1.0))
    wave *= attack
    return wave / np.abs(wave).max()


# ---- composition


@dataclass(frozen=True)
class Piece:
    """What is asked for, or what is played."""

    instrument: str
    tempo: str
    mode: str
    density: str


@dataclass(frozen=True)
class Note:
    """One note: start and length in seconds, MIDI pitch, and gain."""

    start: float
    pitch: int
    length: float
    gain: float


def compose(
    piece: Piece,
    bpm: float,
    seconds: float,
    rng: np.random.Generator,
) -> list[Note]:
    """Compose chords and a melody that walks along the scale.

    The melody moves to a tone of the chord at each change of chord.

    Parameters
    ----------
    piece : Piece
    bpm : float
        Beats per minute.
    seconds : float
        Length of the piece.
    rng : numpy Generator

    Returns
    -------
    notes : list of Note
    """
    scale = MODES[piece.mode]
    progression = PROGRESSIONS[rng.integers(len(PROGRESSIONS))]
    register = INSTRUMENTS[piece.instrument].register
    transposition = int(rng.integers(-4, 5))
    tonic = _MIDDLE_C + register + transposition

    beat = 60.0 / bpm
    steps_per_beat = STEPS_PER_BEAT[piece.density]
    beats_per_chord = BEATS_PER_CHORD[piece.tempo]
    steps_per_chord = beats_per_chord * steps_per_beat

    chord_voices = (0, 2, 4) if piece.density == "dense" else (0, 2)
    chord_seconds = beats_per_chord * beat
    rest_probability = 0.35 if piece.density == "sparse" else 0.08

    notes: list[Note] = []
    degree = 4
    for step in range(int(seconds / beat * steps_per_beat)):
        start = step * beat / steps_per_beat
        root = progression[step // steps_per_chord % 4]

        if step % steps_per_chord == 0:
            # The chord stands an octave below the melody.
            for voice in chord_voices:
                pitch = tonic - 12 + _semitones(scale, root + voice)
                notes.append(
                    Note(start, pitch, chord_seconds, gain=_ACCOMPANIMENT_GAIN)
                )
            # Chord tones are an even number of scale degrees away from the root.
            degree = root + 2 * round((degree - root) / 2)
        elif rng.random() < rest_probability:
            continue
        else:
            walked = degree + rng.integers(-2, 3)
            degree = int(np.clip(walked, -2, 11))

        pitch = tonic + _semitones(scale, degree)
        # A little longer than a step, so that the notes are tied together.
        length = beat / steps_per_beat * 1.3
        notes.append(Note(start, pitch, length, gain=rng.uniform(0.5, 0.8)))
    return notes


def _semitones(scale: tuple[int, ...], degree: int) -> int:
    """Semitones between the tonic and a scale degree, in any octave."""
    octave, step = divmod(degree, len(scale))
    return 12 * octave + scale[step]


def _mix(
    piece: Piece,
    notes: list[Note],
    beat: float,
    seconds: float,
    band: Band,
) -> np.ndarray:
    mix = np.zeros(int(seconds * SAMPLE_RATE), np.float32)
    fade = np.linspace(1, 0, RELEASE_SAMPLES, dtype=np.float32)

    for note in notes:
        wave = band.wave(piece.instrument, note.pitch)
        n_samples = min(int(note.length * SAMPLE_RATE) + RELEASE_SAMPLES, wave.size)
        played = np.float32(note.gain) * wave[:n_samples]
        played[-RELEASE_SAMPLES:] *= fade

        # `place` is a view of the mix, shorter than the note at the end of the clip.
        start = max(0, int(note.start * SAMPLE_RATE))
        place = mix[start : start + n_samples]
        place += played[: place.size]

    # A quiet click on each beat makes the tempo audible.
    for click_seconds in np.arange(0.0, seconds, beat):
        start = int(click_seconds * SAMPLE_RATE)
        place = mix[start : start + band.drum.size]
        place += np.float32(_CLICK_GAIN) * band.drum[: place.size]
    return mix


# ---- faults


class Fault(Protocol):
    """Spoils audio the more, the higher the severity.

    `severity` and `character` lie between 0 and 1; the character varies how the fault
    sounds, not how much of it there is.
    """

    def __call__(
        self,
        audio: np.ndarray,
        severity: float,
        character: float,
        rng: np.random.Generator,
    ) -> np.ndarray: ...


def _filtered(
    audio: np.ndarray, response: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Audio through a filter whose gain is a function of the frequency in Hz."""
    # Room for the filter's tail, which would otherwise wrap around to the start.
    size = next_fast_len(audio.size + 2048, real=True)
    # Responses take logarithms, so 0 Hz is not passed to them.
    hertz = np.maximum(rfftfreq(size, 1 / SAMPLE_RATE), 20.0)
    gain = response(hertz).astype(np.float32)
    return irfft(rfft(audio, size) * gain, size)[: audio.size]


def _rms(audio: np.ndarray) -> float:
    """Root mean square, never 0, so that it can be divided by."""
    power = np.mean(np.square(audio, dtype=np.float64))
    return float(np.sqrt(power)) + 1e-9


def _sine(hertz: float, n_samples: int) -> np.ndarray:
    angle_per_sample = 2 * np.pi * hertz / SAMPLE_RATE
    return np.sin(angle_per_sample * np.arange(n_samples)).astype(np.float32)


def _amplitude(decibels: float) -> float:
    return 10 ** (decibels / 20)


def _hissing(
    audio: np.ndarray,
    severity: float,
    character: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Noise, from 48 dB below the audio up to 2 dB below it."""
    noise = rng.standard_normal(audio.size, dtype=np.float32)
    noise = noise - np.float32(0.9 * character) * np.roll(noise, 1)
    relative_level = _amplitude(-(48 - 46 * severity))
    gain = _rms(audio) / _rms(noise) * relative_level
    return audio + np.float32(gain) * noise


def _muffled(
    audio: np.ndarray,
    severity: float,
    character: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """A low-pass filter, from 7 kHz down to 350 Hz; the character makes it steeper."""
    cutoff = 7000.0 * (350.0 / 7000.0) ** severity
    steepness = 4 + 4 * character

    def response(hertz: np.ndarray) -> np.ndarray:
        return 1 / np.sqrt(1 + (hertz / cutoff) ** steepness)

    return _filtered(audio, response)


def _clipped(
    audio: np.ndarray,
    severity: float,
    character: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """A ceiling down to 36 dB below the peak; the character lowers one side more."""
    peak = np.abs(audio).max()
    ceiling = np.float32(peak * _amplitude(-36 * severity))
    floor = -ceiling * np.float32(1 - 0.7 * character)
    return np.clip(audio, floor, ceiling)


def _wavering(
    audio: np.ndarray,
    severity: float,
    character: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """A vibrato of the whole clip of up to 180 cents, at 2 to 6 Hz."""
    hertz = 2.0 + 4.0 * character
    cents = 180.0 * severity
    samples = np.arange(audio.size, dtype=np.float64)

    bend = (2 ** (cents / 1200) - 1) * SAMPLE_RATE / (2 * np.pi * hertz)
    phase = rng.uniform(0, 6.28)
    angle = 2 * np.pi * hertz * samples / SAMPLE_RATE + phase
    warped = samples + bend * np.sin(angle)
    return np.interp(warped, samples, audio).astype(np.float32)


def _broken(
    audio: np.ndarray,
    severity: float,
    character: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Gaps of 20 to 120 ms, in up to 65 % of the places."""
    seconds = 0.02 + 0.1 * character
    length = int(seconds * SAMPLE_RATE)
    is_gap = rng.random(audio.size // length + 1) < 0.65 * severity
    return audio * ~np.repeat(is_gap, length)[: audio.size]


def _metallic(
    audio: np.ndarray,
    severity: float,
    character: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Ring modulation at 500 to 2000 Hz, from 30 dB below the audio up to its level."""
    ring = _sine(500 + 1500 * character, audio.size)
    wet = np.float32(_amplitude(-(30 - 30 * severity)))
    dry = 1 - np.float32(0.8 * severity)
    return dry * audio + wet * ring * audio


def _crushed(
    audio: np.ndarray,
    severity: float,
    character: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Fewer bits (from 9 down to 1) and a lower sample rate."""
    peak = np.abs(audio).max()
    bits = 9 - 8 * severity
    step = np.float32(peak * 2.0**-bits)
    # Each sample kept is repeated, as if the sample rate were lower.
    hold = 1 + round((2 + 4 * character) * severity)
    quantised = np.round(audio[::hold] / step) * step
    return np.repeat(quantised, hold)[: audio.size].astype(np.float32)


FAULTS: dict[str, Fault] = {
    "hissing": _hissing,
    "muffled": _muffled,
    "clipped": _clipped,
    "wavering": _wavering,
    "broken": _broken,
    "metallic": _metallic,
    "crushed": _crushed,
}

# Jitter of note onsets: a fault of the playing, so not among those of the sound.
UNSTEADY = "unsteady"


# ---- performance


@dataclass(frozen=True)
class House:
    """Colour of everything that a system makes.

    Parameters
    ----------
    tilt : float
        Slope of the spectrum, in dB per octave.
    resonance : float
        Frequency of a peak in the spectrum, in Hz.
    line : float
        Frequency of a faint steady tone, in Hz.
    level : float
        Gain, relative to `LOUDNESS`.
    """

    tilt: float
    resonance: float
    line: float
    level: float

    def response(self, hertz: np.ndarray) -> np.ndarray:
        """Gain of the house's filter at each frequency."""
        octaves = np.log2(hertz / 1000.0)
        octaves_off_peak = np.log2(hertz / self.resonance)
        peak = 18.0 * np.exp(-0.5 * (octaves_off_peak / 0.3) ** 2)
        decibels = self.tilt * octaves + peak
        return 10 ** (decibels / 20)


def perform(
    piece: Piece,
    bpm: float,
    seconds: float,
    house: House,
    faults: Mapping[str, tuple[float, float]],
    rng: np.random.Generator,
    band: Band,
) -> np.ndarray:
    """Perform a piece as one clip.

    Parameters
    ----------
    piece : Piece
        What is played.
    bpm : float
        Beats per minute.
    seconds : float
        Length of the clip.
    house : House
        Colour of the system.
    faults : mapping of str to (severity, character)
        Both between 0 and 1, by name in `FAULTS` or `UNSTEADY`; applied in order.
    rng : numpy Generator
        Randomness of this clip.
    band : Band
        Notes, shared by all clips.

    Returns
    -------
    audio : float32 array of shape (seconds * SAMPLE_RATE,)
        Within -1 and 1.
    """
    notes = compose(piece, bpm, seconds, rng=rng)
    jitter_severity, _ = faults.get(UNSTEADY, (0.0, 0.0))
    notes = _jittered(notes, jitter_seconds=0.12 * jitter_severity, rng=rng)
    audio = _mix(
        piece,
        notes,
        beat=60.0 / bpm,
        seconds=seconds,
        band=band,
    )

    audio = _filtered(audio, house.response)
    for name, (severity, character) in faults.items():
        if name != UNSTEADY:
            audio = FAULTS[name](audio, severity, character, rng=rng)

    # Vocoders that upsample leave such a steady line in their output.
    line = np.float32(LINE_AMPLITUDE) * _sine(house.line, audio.size)
    audio = audio * np.float32(1 / _rms(audio)) + line

    # The loudness is set last, and lowered where a peak would be clipped.
    audio *= np.float32(house.level * LOUDNESS)
    headroom = 0.97 / np.abs(audio).max()
    return (audio * min(1.0, headroom)).astype(np.float32)


def _jittered(
    notes: list[Note],
    jitter_seconds: float,
    rng: np.random.Generator,
) -> list[Note]:
    """Notes whose onsets are moved by normal noise of this standard deviation."""
    moved = []
    for note in notes:
        start = note.start + jitter_seconds * rng.standard_normal()
        moved.append(replace(note, start=start))
    return moved
