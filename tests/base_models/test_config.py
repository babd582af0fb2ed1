import pytest

from base_models.config import MODELS, SETTINGS, BaseConfig
from base_models.errors import UsageError


def test_the_defaults_are_the_papers():
    config = BaseConfig()
    assert (
        config.learning_rate,
        config.batch_size,
        config.max_epochs,
        config.patience,
    ) == (5e-5, 32, 100, 15)
    assert (
        config.attention_heads,
        config.dropout,
        config.sigma,
        config.bins.count,
    ) == (4, 0.3, 0.25, 20)


def test_whisq_is_trained_as_its_table_says():
    config = BaseConfig.preset("whisq")
    assert (config.optimizer, config.learning_rate, config.momentum) == (
        "sgd",
        7.307e-4,
        0.7435,
    )
    assert (config.batch_size, config.max_epochs, config.alignment_weight) == (
        128,
        148,
        4.057e-5,
    )


@pytest.mark.parametrize("name", MODELS)
def test_every_preset_reads_under_its_own_name(name):
    assert BaseConfig.preset(name).name == name
    for settings in SETTINGS:
        assert BaseConfig.preset(name, settings) != BaseConfig.preset(name)


def test_a_config_survives_json():
    config = BaseConfig.preset("dora_coral", "embedded").updated(
        {"bins": {"grid": "endpoints"}}, "x"
    )
    assert BaseConfig.from_dict(config.to_dict(), "x") == config


def test_runs_of_the_first_release_keep_their_signatures():
    """A new key must not change what an old preset hashes to: runs are found by it."""
    known = {
        "dora": "b2b1e348b1",
        "dora_coral": "2e5040d64b",
        "dora_decoupled": "e5bcfd7feb",
    }
    assert {name: BaseConfig.preset(name).signature(seed=0) for name in known} == known


def test_the_signature_sees_what_differs_and_not_the_name():
    base = BaseConfig()
    assert base.signature(seed=0) == base.updated({"name": "other"}, "x").signature(
        seed=0
    )
    assert (
        len(
            {
                base.signature(seed=0),
                base.signature(seed=1),
                base.updated({"dropout": 0.1}, "x").signature(seed=0),
            }
        )
        == 3
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat = 1e-3", "unknown key 'learning_rat'"),
        ("patience = 'ten'", "'patience' must be int"),
        ("patience = 0", "patience must be positive"),
        ("criterion = 'gausian'", "Did you mean 'gaussian'"),
        ("dropout = 1.0", "dropout must lie"),
        ("inner_validation = 1", "inner_validation must lie"),
        ("coral_ranks = 1", "coral_ranks must be"),
        ("alignment_stride = 0", "alignment_stride must be positive"),
        (
            "momentum = 0.9",
            "momentum belongs to the optimizer 'sgd', but this one is 'adamw'",
        ),
        ("momentum = 1.0\noptimizer = 'sgd'", "momentum must lie in"),
        ("clip_norm = -1", "clip_norm must not be negative"),
        ("start_at_mean = true", "start_at_mean needs a scalar criterion"),
        (
            "alignment = 'sinkhorn'",
            "alignment = 'sinkhorn' belongs to the architecture 'co_attention'",
        ),
        (
            "architecture = 'co_attention'\ntemporal = 'mamba'",
            "temporal = 'mamba' belongs to the architecture 'dual",
        ),
        ("temporal = 'bilsm'", "Unknown temporal block 'bilsm'. Did you mean 'bilstm'"),
        ("[bins]\nlo = 1", r"\[bins\]"),
        ("= 3", "not valid TOML"),
    ],
)
def test_a_wrong_config_file_is_refused_by_key(tmp_path, text, message):
    path = tmp_path / "my.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        BaseConfig.from_toml(path)


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(
        UsageError, match=r"Unknown preset 'dora_corral'. Did you mean 'dora_coral'"
    ):
        BaseConfig.preset("dora_corral")
    with pytest.raises(UsageError, match="Unknown training settings"):
        BaseConfig.preset("dora", "embeded")
    with pytest.raises(UsageError, match="cannot be read"):
        BaseConfig.from_toml("/nowhere.toml")
