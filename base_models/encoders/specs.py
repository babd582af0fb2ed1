"""What is known of each encoder before it is loaded: the table behind `base_models.encoders.ENCODERS`.

Revisions are pinned: the same name means the same weights for ever. The trap: a licence is that of the weights, not of
the code around them, and one that is not known to allow commercial use counts as one that does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
"""Licences, written as in `EncoderSpec.commercial`, that are known to allow commercial use."""
WEIGHTS, PICKLE = "model.safetensors", "pytorch_model.bin"


@dataclass(frozen=True, kw_only=True, eq=False)
class EncoderSpec:
    """What is known of an encoder before it is loaded.

    Parameters
    ----------
    name : str
    kind : ``"audio"`` (items are paths) or ``"text"`` (items are prompts)
    dim : int, width of an embedding
    licence : of the weights
    sample_rate : int, Hz, audio only
    frame_rate : float, embedding frames per second, audio only
    repository, revision : where the weights are on the Hugging Face hub; none for an embedded encoder
    files : names of the weight files, ``config.json`` first
    elsewhere : subfolder → (repository, revision) of those files named ``subfolder/file``
    pickled : whether the hub has these weights only as a pickle, which must be converted before they can be loaded
    megabytes : int, to download; 0 when not known
    batch_size : int, items encoded together by default
    version : int, raised whenever our own preprocessing changes what comes out
    caution : what to know before using it, said wherever encoders are listed
    builder : module with ``build(spec, files, device)``; default is the file named after the encoder in the folder of its kind
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
    pickled: bool = False
    megabytes: int = 0
    batch_size: int = 8
    version: int = 1
    caution: str = ""
    builder: str = ""

    @property
    def embedded(self) -> bool:
        """Whether it needs no weights."""
        return not self.files

    @property
    def commercial(self) -> bool:
        """Whether the licence of the weights is known to allow commercial use.

        >>> [EncoderSpec(name="x", kind="text", dim=1, licence=it).commercial for it in ("MIT", "CC BY-NC 4.0", "?")]
        [True, False, False]
        """
        return self.licence.strip().lower().replace(" ", "-") in COMMERCIAL

    def source(self, file: str) -> tuple[str | None, str | None, str]:
        """Repository, revision and name there of one of `files`."""
        folder, slash, name = file.partition("/")
        if slash and folder in self.elsewhere:
            return (*self.elsewhere[folder], name)
        return self.repository, self.revision, file


_MULAN = {
    "licence": "CC BY-NC 4.0",
    "dim": 512,
    "repository": "OpenMuQ/MuQ-MuLan-large",
    "revision": "2e01c796b71dca71b45251384c04cd7b237c9020",
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
    "builder": "base_models.encoders.joint.muq_mulan",
}
_CLAP = {
    # LAION's checkpoint of music alone, larger_clap_music, gives nearly the same vector for every text
    # (embeddings-benchmark/mteb#5069), so it is not used.
    "licence": "Apache-2.0",
    "dim": 512,
    "repository": "laion/larger_clap_music_and_speech",
    "revision": "195c3a3e68faebb3e2088b9a79e79b43ddbda76b",
    "pickled": True,
    "megabytes": 776,
    "builder": "base_models.encoders.joint.clap",
}

SPECS = (
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
        batch_size=2,  # the convolutions need about 0.8 GB for each 30 s clip
    ),
    EncoderSpec(
        name="muq_mulan",
        kind="audio",
        sample_rate=24_000,
        frame_rate=0.1,
        files=("config.json", WEIGHTS, "muq/config.json"),
        batch_size=2,
        **_MULAN,
    ),
    EncoderSpec(
        name="clap",
        kind="audio",
        sample_rate=48_000,
        frame_rate=0.1,
        files=("config.json", WEIGHTS, "preprocessor_config.json"),
        batch_size=4,
        **_CLAP,
    ),
    EncoderSpec(
        name="clap_slip",
        kind="audio",
        sample_rate=16_000,
        frame_rate=1 / 30,
        files=("config.json", WEIGHTS, "preprocessor_config.json"),
        batch_size=4,
        caution="the official baseline's mistake, kept for comparison: 16 kHz samples are passed to CLAP as 48 kHz, so "
        "it hears 30 s of music in 10 s, three times too fast and too high; use 'clap' for anything else",
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
        batch_size=2,  # attention over 2249 frames needs about 0.25 GB for each 30 s clip
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
    ),
    EncoderSpec(
        name="whisper",
        kind="audio",
        dim=512,
        licence="Apache-2.0",
        sample_rate=16_000,
        frame_rate=50.0,
        repository="openai/whisper-base",
        revision="e37978b90ca9030d5170a5c07aadb050351a65bb",
        files=("config.json", WEIGHTS),
        megabytes=290,
        batch_size=4,
    ),
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
        **_MULAN,
    ),
    EncoderSpec(
        name="clap_text",
        kind="text",
        files=("config.json", WEIGHTS, "tokenizer.json"),
        batch_size=16,
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
    ),
    EncoderSpec(
        name="logmel",
        kind="audio",
        dim=128,
        licence="MIT",
        sample_rate=24_000,
        frame_rate=12.5,
    ),
    EncoderSpec(name="hashed_text", kind="text", dim=128, licence="MIT", batch_size=64),
)
