"""Which encoders base models are built on: their presets' own, unless others are named.

On the command line, one word replaces the encoder of every model (``logmel``,
``muq=FOLDER``), ``PRESET=ENCODER`` that of one preset, and several words
``ENCODER=FOLDER`` say where the weights of the presets' own encoders lie. Several words
without folders are the encoders of a set of models that uses each of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from base_models.encoders import check_kind, known_encoders, parse_encoder
from base_models.errors import UsageError
from base_models.model_presets import ALL_MODELS, AnyConfig


@dataclass(frozen=True)
class EncoderWords:
    """What a user says about the encoders of one kind.

    Parameters
    ----------
    kind : {"audio", "text"}
    for_all : str or None
        Encoder of every model; None leaves each preset its own.
    for_preset : mapping of str to str
        Preset to the encoder that it uses instead.
    folders : mapping of str to str
        Encoder to the folder of its weights.
    each : tuple of str
        Encoders of a set of models that uses each of them; no other model can.
    """

    kind: str
    for_all: str | None = None
    each: tuple[str, ...] = ()
    for_preset: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, words: Sequence[str] | None, kind: str) -> EncoderWords:
        """Read the words of ``--audio-encoder`` or ``--text-encoder``.

        Raises
        ------
        UsageError
            When an encoder is unknown or of the other kind, something is said twice, or
            one word replaces all encoders beside another that names one as well.

        Examples
        --------
        >>> EncoderWords.parse(["whisq=logmel"], "audio").for_preset
        {'whisq': 'logmel'}
        >>> EncoderWords.parse(["muq=/a", "whisper=/b"], "audio").folders
        {'muq': '/a', 'whisper': '/b'}
        """
        option = f"--{kind}-encoder"
        for_preset: dict[str, str] = {}
        general: list[str] = []
        for word in words or ():
            preset, _, encoder = word.partition("=")
            if not _names_a_preset(preset, encoder):
                check_kind(word, kind)
                general.append(word)
                continue
            check_kind(encoder, kind)
            if preset in for_preset:
                raise UsageError(f"{option} names an encoder of '{preset}' twice.")
            for_preset[preset] = encoder

        # One word is the encoder of every model. Several say where weights lie, or are
        # those of a set of models.
        folders: dict[str, str] = {}
        if len(general) == 1:
            name, folder = parse_encoder(general[0])
            # A model may name its encoder itself, whose weights lie there as well.
            if folder is not None:
                folders[name] = folder
            return cls(kind, for_all=general[0], for_preset=for_preset, folders=folders)
        names = []
        for word in general:
            name, folder = parse_encoder(word)
            if name in names:
                raise UsageError(f"{option} names '{name}' twice.")
            names.append(name)
            if folder is not None:
                folders[name] = folder
        each = tuple(general) if len(folders) < len(names) else ()
        return cls(kind, each=each, for_preset=for_preset, folders=folders)

    def encoder_of(self, preset: str, own: str) -> str:
        """The encoder of a preset whose own one is `own`.

        Raises
        ------
        UsageError
            When several words would be the encoder of the preset.
        """
        word = self.for_preset.get(preset) or self.for_all
        if word is None and self.each:
            first = self.each[0]
            name, _ = parse_encoder(first)
            raise UsageError(
                f"--{self.kind}-encoder {' '.join(self.each)}: one word is the encoder "
                f"of every model, and several are for a set such as --models small. "
                f"Write {preset}={first} beside them for the models of one preset, or "
                f"{name}=FOLDER for where its weights lie."
            )
        return self.with_folder(word or own)

    def with_folder(self, word: str) -> str:
        """An encoder with the folder of its weights, where one was named."""
        name, folder = parse_encoder(word)
        if folder is None and name in self.folders:
            return f"{name}={self.folders[name]}"
        return word

    def check_used(self, configs: Mapping[str, AnyConfig]) -> None:
        """Refuse words that none of these presets reads.

        Raises
        ------
        UsageError
            When a preset or an encoder is named that is not among them.
        """
        option = f"--{self.kind}-encoder"
        for preset, encoder in self.for_preset.items():
            if preset not in configs:
                raise UsageError(
                    f"{option} {preset}={encoder}: no model of '{preset}' is trained; "
                    f"the models are {', '.join(configs)}."
                )

        own_encoders = {
            parse_encoder(getattr(config, f"{self.kind}_encoder"))[0]
            for config in configs.values()
        }
        replacing = [*self.for_preset.values(), *filter(None, (self.for_all,))]
        named = {parse_encoder(word)[0] for word in replacing}
        located = [f"{name}={folder}" for name, folder in self.folders.items()]
        for word in (*located, *self.each):
            name, _ = parse_encoder(word)
            if name not in own_encoders | named:
                raise UsageError(
                    f"{option} {word}: no model uses '{name}'; the encoders are "
                    f"{', '.join(sorted(own_encoders))}."
                )


@dataclass(frozen=True)
class EncoderChoice:
    """The encoders of both kinds, for any preset."""

    audio: EncoderWords = field(default_factory=lambda: EncoderWords("audio"))
    text: EncoderWords = field(default_factory=lambda: EncoderWords("text"))

    @classmethod
    def parse(
        cls, audio: Sequence[str] | None = None, text: Sequence[str] | None = None
    ) -> EncoderChoice:
        """Read the words of both options; errors are those of `EncoderWords.parse`."""
        return cls(EncoderWords.parse(audio, "audio"), EncoderWords.parse(text, "text"))

    def pair(
        self, preset: str, config: AnyConfig, own_audio: bool = False
    ) -> tuple[str, str]:
        """Audio and text encoder of a preset, as words for `load_encoder`.

        Parameters
        ----------
        preset : str
        config : BaseConfig or PooledConfig
        own_audio : bool
            Whether the audio encoder of the config is not to be replaced by another
            one; only its folder is looked up.
        """
        if own_audio:
            audio = self.audio.with_folder(config.audio_encoder)
        else:
            audio = self.audio.encoder_of(preset, config.audio_encoder)
        text = self.text.encoder_of(preset, config.text_encoder)
        check_kind(audio, "audio")
        check_kind(text, "text")
        return audio, text

    def check_used(self, configs: Mapping[str, AnyConfig]) -> None:
        """Refuse words that none of these presets reads."""
        self.audio.check_used(configs)
        self.text.check_used(configs)


def with_absolute_folder(word: str) -> str:
    """A word of ``--audio-encoder`` or ``--text-encoder``, its folder made absolute."""
    preset, _, encoder = word.partition("=")
    if _names_a_preset(preset, encoder):
        return f"{preset}={with_absolute_folder(encoder)}"
    name, _, folder = word.partition("=")
    return f"{name}={os.path.abspath(folder)}" if folder else word


def _names_a_preset(preset: str, encoder: str) -> bool:
    """Whether ``preset=encoder`` is about a preset, and not a folder of weights.

    ``muq_mulan`` is both a preset and an encoder: what follows decides. A folder that
    is called like an encoder is written as a path, ``./muq``.
    """
    if preset not in ALL_MODELS or not encoder:
        return False
    is_encoder_too = preset in known_encoders().specs
    name, _, _ = encoder.partition("=")
    return not is_encoder_too or name in known_encoders().specs
