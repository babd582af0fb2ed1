import pytest

from base_models.bins import ScoreBins
from base_models.config import MODELS, SETTINGS, BaseConfig
from base_models.errors import UsageError


def test_the_defaults_are_those_of_dora_mos():
    """Bins and attention heads as in the paper, the rest as in its published code."""
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
        ("patience = 'ten'", "'patience' must be a whole number; got 'ten'"),
        ("patience = 0", "patience must be positive"),
        ("criterion = 'gausian'", "Did you mean 'gaussian'"),
        ("dropout = 1.0", "dropout must lie"),
        ("inner_validation = 1", "inner_validation must lie"),
        ("inner_validation = -0.1", "inner_validation must lie"),
        (
            "inner_validation = 0",
            "no clip on which to select the epoch by 'loss'. Set select_on = 'last'",
        ),
        ("hidden_layers = 0", "hidden_layers must be positive"),
        ("max_seconds = -1", "max_seconds must not be negative"),
        ("listwise_weight = -1.0", "listwise_weight must not be negative"),
        (
            "coral_form = 'textbook'",
            "coral_form = 'textbook' belongs to the criterion 'coral', but this one is "
            "'gaussian'",
        ),
        (
            "criterion = 'coral'\ncoral_form = 'textbook'\ncoral_ranks = 5",
            "coral_ranks belongs to the published form",
        ),
        (
            "criterion = 'coral'\ncoral_form = 'texbook'",
            "Did you mean 'textbook'",
        ),
        (
            "architecture = 'pooled'\nmax_seconds = 10",
            "max_seconds = 10.0 belongs to the architecture 'dual_branch'",
        ),
        (
            "architecture = 'co_attention'\nalignment = 'anchored'",
            "'anchored' belongs to the architecture 'dual_branch', but this one is "
            "'co_attention'",
        ),
        ("coral_ranks = 1", "coral_ranks must be"),
        ("alignment_stride = 0", "alignment_stride must be positive"),
        (
            "momentum = 0.9",
            "momentum = 0.9 belongs to the optimizer 'sgd', but this one is 'adamw'",
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
        ("[bins]\nlo = 1", "unknown key 'bins.lo'. Did you mean 'bins.low'"),
        ("bins.lo = 1", "unknown key 'bins.lo'. Did you mean 'bins.low'"),
        ("bins = 'endpoints'", "'bins' is a group of settings and not one value"),
        (
            "bins = 10",
            r"Set bins.low, .*bins.grid one by one, e.g. bins.grid=endpoints",
        ),
        ("bins.count = 'ten'", "'bins.count' must be a whole number; got 'ten'"),
        ("bins.count = 10.5", "'bins.count' must be a whole number; got 10.5"),
        ("bins.grid = 'endpoint'", "Unknown bin grid 'endpoint'. Did you mean"),
        ("bins.count = 1", "at least 2 bins"),
        ("bins.high = inf", "'bins.high' must be finite"),
        ("grid = 'endpoints'", "unknown key 'grid'. Did you mean 'bins.grid'"),
        ("sigma.width = 1", "'sigma' must be a number; got {'width': 1}"),
        (
            "xyzzy = 1",
            r"unknown key 'xyzzy'. Known: name, .*bins.low\|high\|count\|grid",
        ),
        ("sigma = nan", "'sigma' must be finite"),
        ("sigma = '0.3'", "'sigma' must be a number; got '0.3'"),
        ("decoupled = 1", "'decoupled' must be true or false; got 1"),
        ("criterion = 3", "'criterion' must be text; got 3"),
        ("max_epochs = true", "'max_epochs' must be a whole number; got True"),
        (f"dropout = {10**400}", "'dropout' must be finite"),
        ("= 3", "not valid TOML"),
    ],
)
def test_a_wrong_config_file_is_refused_by_key(tmp_path, text, message):
    path = tmp_path / "my.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        BaseConfig.from_toml(path)


def test_no_message_about_a_wrong_key_is_longer_than_a_line_may_be():
    for changes in ({"xyzzy": 1}, {"bins": "endpoints"}, {"sigma.x": 1}):
        with pytest.raises(UsageError) as refused:
            BaseConfig().updated(changes, "--set")
        assert len(str(refused.value)) <= 500
    with pytest.raises(UsageError, match="'sigma' is one value and has no keys"):
        BaseConfig().updated({"sigma.x": 1}, "--set")


def test_a_group_is_set_key_by_key_and_what_is_not_named_stays():
    """As a table, by dotted names, or both; in a file as anywhere else."""
    first = BaseConfig().updated({"bins": {"grid": "endpoints", "high": 10}}, "x")
    assert first.bins == ScoreBins(high=10.0, grid="endpoints")
    second = first.updated({"bins.count": 10}, "x")
    assert second.bins == ScoreBins(high=10.0, grid="endpoints", count=10)
    whole = {"bins": ScoreBins(count=7), "bins.grid": "endpoints"}
    assert second.updated(whole, "x").bins == ScoreBins(count=7, grid="endpoints")


@pytest.mark.parametrize(
    "text",
    [
        "[bins]\ncount = 10\ngrid = 'endpoints'",
        "bins.count = 10\nbins.grid = 'endpoints'",
        "bins = {count = 10, grid = 'endpoints'}",
    ],
)
def test_every_spelling_of_a_table_gives_the_same_bins(tmp_path, text):
    path = tmp_path / "my.toml"
    path.write_text(text)
    bins = BaseConfig.from_toml(path).bins
    assert bins == ScoreBins(count=10, grid="endpoints")


def test_a_whole_number_for_a_number_is_the_same_run():
    one, other = (
        BaseConfig().updated({"learning_rate": rate, "bins.low": low}, "x")
        for rate, low in ((1, 0), (1.0, 0.0))
    )
    assert one == other
    assert one.signature() == other.signature()


def test_one_hot_runs_of_before_are_not_taken_for_those_of_now():
    """Under the same name a label midway between two bins was shared out."""
    assert BaseConfig.preset("dora_ce").signature(seed=0) != "071729d7af"


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(
        UsageError, match=r"Unknown preset 'dora_corral'. Did you mean 'dora_coral'"
    ):
        BaseConfig.preset("dora_corral")
    with pytest.raises(UsageError, match="Unknown training settings"):
        BaseConfig.preset("dora", "embeded")
    with pytest.raises(UsageError, match="cannot be read"):
        BaseConfig.from_toml("/nowhere.toml")


def test_a_config_shows_only_what_differs_from_the_defaults():
    assert repr(BaseConfig(name="mine", sigma=0.5)) == (
        "BaseConfig(name='mine', sigma=0.5)"
    )
