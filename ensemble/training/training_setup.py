"""What base models to train, with which encoders and settings, and how to compute.

The default models are those of DORA-MOS, section III.D: five `dora`, two `dora_coral`
and two `dora_decoupled`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from base_models.config import SETTINGS, BaseConfig
from base_models.encoders import check_kind, known_encoders, parse_encoder
from base_models.errors import UsageError, one_of, some
from base_models.model_presets import ALL_MODELS, AnyConfig, configured
from base_models.pooled_config import POOLED_MODELS
from base_models.precision import AUTO
from ensemble.engine import LOCAL
from ensemble.training.encoder_choice import EncoderChoice
from ensemble.training.model_sets import (
    PAPER_MODELS,
    PAPER_MODELS_WITHOUT_TEXT,
    SMALL,
    expand_sets,
)

AS_PUBLISHED = "paper"
"""Training settings of the presets themselves."""
USUAL = "usual"
"""Training settings that suit the audio encoder of each model."""


@dataclass(frozen=True)
class ModelName:
    """A base model as a plan names it: a preset, and the encoder where it says one.

    So models of one preset on several encoders can stand in one plan.

    Parameters
    ----------
    preset : str
    audio_encoder : str
        "" leaves it to the choice of encoders.

    Examples
    --------
    >>> ModelName.parse("pooled_gp@clap")
    ModelName(preset='pooled_gp', audio_encoder='clap')
    >>> ModelName.parse("dora")
    ModelName(preset='dora', audio_encoder='')
    """

    preset: str
    audio_encoder: str = ""

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """Read ``PRESET`` or ``PRESET@ENCODER``.

        Raises
        ------
        UsageError
            When the preset or the encoder is unknown, or the latter encodes text.
        """
        preset, at, encoder = text.partition("@")
        # The set is no preset, but a misspelt name may mean it.
        known = ALL_MODELS if preset == SMALL else (*ALL_MODELS, SMALL)
        one_of(preset, known, "preset")
        if at and not encoder:
            raise UsageError(
                f"'{text}' names no encoder; write '{preset}@ENCODER', such as "
                f"'{preset}@logmel', or '{preset}' alone."
            )
        if at:
            check_kind(encoder, "audio")
        return cls(preset, audio_encoder=encoder)


@dataclass(frozen=True)
class ModelSetup:
    """What the models of one name are trained with.

    Parameters
    ----------
    preset : str
    config : BaseConfig or PooledConfig
    settings : str or None
        Training settings laid over the preset, or None for its own.
    audio_encoder, text_encoder : str
        Registered names, or ``"name=folder"``.
    """

    preset: str
    config: AnyConfig
    settings: str | None
    audio_encoder: str
    text_encoder: str

    def encoder_words(self, with_text: bool) -> tuple[str, ...]:
        """Its encoders; `with_text` is whether some aspect is judged by text."""
        if with_text and not self.config.audio_only:
            return self.audio_encoder, self.text_encoder
        return (self.audio_encoder,)


@dataclass(frozen=True)
class TrainingSetup:
    """What to train: all that decides the base models but their clips and seeds.

    Parameters
    ----------
    encoders : EncoderChoice
        Encoders that replace those of the presets.
    settings : str
        Training settings laid over every preset: ``"paper"`` for the preset's own, a
        name in `SETTINGS`, or ``"usual"``: the preset's own with the published
        encoders, and with an embedded audio encoder those for small inputs.
    overrides : mapping of str to value
        Single settings of `BaseConfig`, laid over the rest.
    folds : int
        How many folds of the training split are predicted out of fold; 0 for none.
    dtype : str
        Of the stored embeddings.
    trial : bool
        Whether the models only show that everything works; no stack takes them unless
        they are planned again.

    Raises
    ------
    UsageError
        When there are no such settings.
    """

    encoders: EncoderChoice = field(default_factory=EncoderChoice)
    settings: str = USUAL
    overrides: Mapping[str, Any] = field(default_factory=dict)
    folds: int = 0
    dtype: str = "float16"
    trial: bool = False

    def __post_init__(self) -> None:
        one_of(self.settings, (USUAL, AS_PUBLISHED, *SETTINGS), "training settings")

    def model(self, word: str) -> ModelSetup:
        """Config, settings and encoders of the models of a name.

        Parameters
        ----------
        word : str
            As `ModelName.parse` reads it.
        """
        name = ModelName.parse(word)
        own = {"audio_encoder": name.audio_encoder} if name.audio_encoder else {}
        named = self._config(name.preset, None).updated(own, word)
        # An encoder in the model's own name goes before all others.
        audio, text = self.encoders.pair(word, named, own_audio=bool(own))

        settings = self._settings_of(named, audio)
        config = self._config(name.preset, settings).updated(own, word)
        return ModelSetup(
            name.preset,
            config=config,
            settings=settings,
            audio_encoder=audio,
            text_encoder=text,
        )

    def _config(self, preset: str, settings: str | None) -> AnyConfig:
        return configured(preset, settings, self.overrides, "--set")

    def _settings_of(self, config: AnyConfig, audio: str) -> str | None:
        # Pooled embeddings have parameters that are tuned, and no training settings.
        if not isinstance(config, BaseConfig) or self.settings == AS_PUBLISHED:
            return None
        if self.settings != USUAL:
            return self.settings
        # The published settings are for large encoders; small embedded ones need
        # larger steps, and those that train by SGD still larger ones.
        encoder, _ = parse_encoder(audio)
        if not known_encoders().specs[encoder].embedded:
            return None
        return "embedded_sgd" if config.optimizer == "sgd" else "embedded"

    def check_used(self, models: Mapping[str, ModelSetup]) -> None:
        """Refuse encoders and single settings that none of these models reads.

        Raises
        ------
        UsageError
            Naming the first of them.
        """
        configs = {word: model.config for word, model in models.items()}
        self.encoders.check_used(configs)
        known = {key for config in configs.values() for key in config.setting_names()}
        for key in self.overrides:
            if key not in known and key != "bins":
                raise UsageError(
                    f"--set {key}: none of the models {', '.join(models)} has such a "
                    "setting; leave it out, or train a model that has."
                )


@dataclass(frozen=True)
class Compute:
    """How to run.

    Parameters
    ----------
    device : str
        ``"auto"``, the name of a device, or several of one kind (``"cuda:0,1"``), over
        which the runs are dealt. The kind is part of what a run is.
    precision : str, or mapping of "audio" and "text" to str
        Of the encoders, see `base_models.precision`; part of what a run is.
    jobs : int
        Worker processes; 0 shares out the cores (one process on each GPU).
    threads : int
        CPU threads of each run. The number moves the last digits of the results, so it
        is fixed whatever else is still to be trained, and another number is another
        run.
    engine : str
        Where clips are embedded, see `ensemble.engine.check_engine`.
    """

    device: str = "auto"
    precision: str | Mapping[str, str] = AUTO
    jobs: int = 0
    threads: int = 1
    engine: str = LOCAL


def plan_models(
    models: Sequence[str] | None, seeds: int, with_text: bool = True
) -> list[tuple[str, int]]:
    """List base models and seeds from words of the form ``NAME[:COUNT]``.

    Parameters
    ----------
    models : sequence of str or None
        Names as `ModelName.parse` reads them. None is the paper's choice. Where no
        aspect is judged by text, `dora_decoupled` is left out of it: it differs from
        `dora` in the text branch alone, and would be the same model twice.
    seeds : int
        How many seeds a name without a count gets; a regressor on pooled embeddings
        gets one.
    with_text : bool
        Whether some aspect is judged by text.

    Raises
    ------
    UsageError
        When a name is unknown, a number is below 1, or a model is named twice.

    Examples
    --------
    >>> plan_models(["dora", "dora_l1@logmel:1", "pooled_gp"], 2)
    [('dora', 0), ('dora', 1), ('dora_l1@logmel', 0), ('pooled_gp', 0)]
    >>> len(plan_models(None, 5)), len(plan_models(None, 5, with_text=False))
    (9, 7)
    """
    if seeds < 1:
        raise UsageError(f"--seeds must be at least 1; got {seeds}.")
    words = models or (PAPER_MODELS if with_text else PAPER_MODELS_WITHOUT_TEXT)

    plan: list[tuple[str, int]] = []
    for word in words:
        name, colon, count = word.partition(":")
        preset = ModelName.parse(name).preset
        # Plain digits alone: isdigit holds for characters such as "²", too.
        is_count = count.isascii() and count.isdigit() and int(count) > 0
        if colon and not is_count:
            raise UsageError(
                f"'{word}': write NAME or NAME:COUNT with a count of at least 1."
            )
        number = int(count) if count else seeds
        # A regressor hardly depends on its seed: more of them would be the same twice.
        if preset in POOLED_MODELS and not count:
            number = 1
        # The paper's own counts are upper bounds: with one seed, it is one of each.
        if not models:
            number = min(number, seeds)
        plan += [(name, seed) for seed in range(number)]

    if len(set(plan)) != len(plan):
        counts = Counter(plan)
        # Whoever has another seed twice has the first twice as well.
        twice = [name for name, seed in counts if seed == 0 and counts[name, seed] > 1]
        raise UsageError(
            f"A model is asked for twice in --models: {some(twice)}; name it once, "
            "with its count."
        )
    return plan


def fewest_models(models: Sequence[str] | None, seeds: int) -> int:
    """How many base models the words ask for at least, whatever the clips.

    Parameters
    ----------
    models, seeds : see `plan_models`; names of sets are words, too

    Raises
    ------
    UsageError
        As `plan_models` and `ensemble.training.model_sets.expand_sets` do.
    """
    words, _ = expand_sets(models, EncoderChoice(), with_text=False)
    return len(plan_models(words, seeds))
