"""The papers' tables as data: every number of the papers, and models behind rows."""

import pytest

from base_models.config import MODELS, SETTINGS, BaseConfig
from base_models.encoders import ENCODERS
from base_models.errors import UsageError
from base_models.metrics.evaluate import METRICS
from ensemble.papers.paper_tables import TABLES, Column, PaperTable
from ensemble.training.training_setup import plan_models

SHAPES = {
    "table1": (3, 4),
    "table2": (6, 4),
    "table3": (7, 4),
    "table4": (9, 4),
    "whisq2": (7, 16),
    "muq_eval": (1, 2),
}
BY_HAND = [  # read from the papers, here and there
    ("table1", "L1 Loss", "ta system ktau", 0.733),
    ("table1", "Gaussian", "mi system srcc", 0.991),
    ("table2", "Mean Pooling, Mamba", "mi system srcc", 0.984),
    ("table2", "Mean Pooling, Bi-LSTM", "mi system ktau", 0.881),
    ("table2", "Attention Pooling, Mamba", "mi system ktau", 0.903),
    ("table2", "Attention Pooling, Bi-LSTM", "ta system ktau", 0.789),
    ("table3", "CLAP", "mi system srcc", 0.818),
    ("table3", "DORA-MOS (Decoupled)", "ta system srcc", 0.954),
    ("table3", "Ensemble LightGBM", "ta system ktau", 0.754),
    ("table4", "T02", "ta system ktau", 0.818),
    ("table4", "T22", "mi system srcc", 0.970),
    ("table4", "T23", "ta system srcc", 0.887),
    ("whisq2", "WhisQ w/ OT (Proposed)", "mi utterance mse", 0.3584),
    ("whisq2", "WhisQ w/o OT", "ta utterance srcc", 0.4895),
    ("whisq2", "Official Baseline", "mi system srcc", 0.7764),
    ("whisq2", "Cross-Attention w/ OT", "ta system mse", 0.0987),
    ("whisq2", "Wav2Vec2 + ModernBERT", "mi utterance lcc", -0.1206),
    ("whisq2", "Wav2Vec2 + ModernBERT", "ta system ktau", -0.0690),
    ("muq_eval", "MuQ-Eval", "mi system srcc", 0.957),
    ("muq_eval", "MuQ-Eval", "mi utterance srcc", 0.838),
]


@pytest.fixture(scope="module")
def tables():
    return {name: PaperTable.of(name) for name in TABLES}


def row_of(table, name):
    (row,) = [row for row in table.rows if row.name == name]
    return row


def test_every_table_is_whole(tables):
    for name, table in tables.items():
        assert (len(table.rows), len(table.columns)) == SHAPES[name]
        assert len({row.name for row in table.rows}) == len(table.rows)
        assert len(set(table.columns)) == len(table.columns)
        assert all(len(row.paper) == len(table.columns) for row in table.rows)
        assert {c.metric for c in table.columns} <= set(METRICS)
        assert {c.level for c in table.columns} <= {"utterance", "system"}
        assert table.aspects == (("mi",) if name == "muq_eval" else ("mi", "ta"))


def test_every_number_is_possible_and_has_the_decimals_printed(tables):
    for table in tables.values():
        for row in table.rows:
            for column, number in zip(table.columns, row.paper, strict=True):
                assert (0 < number < 4) if column.metric == "mse" else (-1 < number < 1)
                assert round(number, table.decimals) == number


@pytest.mark.parametrize(("name", "row", "column", "number"), BY_HAND)
def test_numbers_are_those_of_the_paper(tables, name, row, column, number):
    table = tables[name]
    assert (
        row_of(table, row).paper[table.columns.index(Column(*column.split()))] == number
    )


def test_what_two_tables_print_of_one_model_is_the_same(tables):
    dora = [
        ("table1", "Gaussian"),
        ("table2", "Attention Pooling, Transformer"),
        ("table3", "DORA-MOS"),
    ]
    for same in (dora, [("table3", "Ensemble Ridge"), ("table4", "Ours")]):
        rows = [row_of(tables[name], row) for name, row in same]
        assert (
            len(
                {
                    (row.paper, row.preset, row.learner, row.stack, row.audio, row.text)
                    for row in rows
                }
            )
            == 1
        )


def test_the_papers_measure_on_different_splits(tables):
    assert {name: table.split for name, table in tables.items()} == dict.fromkeys(
        TABLES[:4], "test"
    ) | {"whisq2": "dev", "muq_eval": "all"}
    assert all(table.paper_split == table.split for table in tables.values())


def test_behind_every_row_is_a_model_or_a_reason(tables):
    for row in (row for table in tables.values() for row in table.rows):
        assert [bool(row.preset), bool(row.stack), bool(row.reason)].count(True) == 1
        assert bool(row.stack) == bool(row.learner)
        if not row.reason:
            assert row.learner in ("", "ridge", "lightgbm")
            assert {name for name, _ in row.models(0)} <= set(MODELS)
            assert (ENCODERS[row.audio].kind, ENCODERS[row.text].kind) == (
                "audio",
                "text",
            )
            assert row.quick in SETTINGS


def test_quick_settings_suit_the_optimizer(tables):
    for row in (
        row for table in tables.values() for row in table.rows if not row.reason
    ):
        for name, _ in row.models(0):
            assert (BaseConfig.preset(name, row.quick).optimizer == "sgd") == (
                row.quick == "embedded_sgd"
            )


def test_the_official_baseline_hears_what_it_heard_when_its_numbers_were_published(
    tables,
):
    rows = [
        row
        for table in tables.values()
        for row in table.rows
        if row.preset == "clap_baseline"
    ]
    assert [row.name for row in rows] == ["CLAP", "Official Baseline"]
    for row in rows:
        assert (row.audio, row.text) == ("clap_slip", "clap_text")
        assert row.encoding.startswith("clap_slip takes 16 kHz audio for 48 kHz")
    assert all(row.audio != "clap" for table in tables.values() for row in table.rows)


def test_whisq_says_what_its_paper_contradicts_or_leaves_out(tables):
    first, *rest = (
        row for row in tables["whisq2"].rows if row.preset.startswith("whisq")
    )
    assert (
        first.encoding
        == "feature dimension 512, as in the paper's equations; its Table I says 1280"
    )
    config = BaseConfig.preset(first.preset)
    assert (config.criterion, config.clip_norm, config.start_at_mean) == (
        "huber",
        1.0,
        True,
    )
    assert (config.weight_decay, config.dropout) == (0.0, 0.0)
    for words in (
        "delta 1",
        "norm 1",
        "start at the training mean",
        "no weight decay, no dropout",
    ):
        assert words in first.note
    assert all(row.note.endswith("choices as for the first row") for row in rest)


def test_the_stack_is_that_of_fit_base_and_moves_along_with_its_repetitions(tables):
    row = row_of(tables["table3"], "Ensemble Ridge")
    assert row.models(0) == plan_models(None, 5)
    assert row.models(2) == [(name, seed + 2) for name, seed in plan_models(None, 5)]


def test_models_that_rows_share_are_counted_once(tables):
    assert tables["table1"].count(5) == 15
    assert tables["table4"].count(1) == 9
    assert tables["table4"].count(3) == 9 + 2 * 3
    assert tables["table3"].count(1) == 2 + 9


def test_rows_that_differ_by_encoder_alone_are_one_on_the_embedded_encoders(tables):
    pairs = {
        (row.name, table.twin(row).name)
        for table in tables.values()
        for row in table.rows
        if table.twin(row) is not row
    }
    assert pairs == {
        ("MuQ-Mulan", "CLAP"),
        ("Wav2Vec2 + ModernBERT", "WhisQ w/ OT (Proposed)"),
    }
    assert tables["table3"].count(1, quick=True) == 1 + 9
    assert tables["whisq2"].count(5, quick=True) == tables["whisq2"].count(5) - 5
    assert tables["table1"].count(2, quick=True) == tables["table1"].count(2)


def test_an_unknown_table_is_refused():
    with pytest.raises(
        UsageError, match=r"Unknown table 'table5'\. Did you mean 'table4'"
    ):
        PaperTable.of("table5")


# ---- what differs from the papers, and what they say in words


def test_every_row_that_is_run_says_how_it_differs_and_whose_settings_it_has(tables):
    for table in tables.values():
        for row in table.rows:
            if row.reason:
                continue
            assert row.note, (table.name, row.name)
            assert row.settings.startswith("of ")
            assert set(row.families) <= set(table.families)
    for name in ("table1", "table2", "table3"):
        for row in tables[name].rows:
            assert row.families, row.name
    # DORA-MOS states no learning rate, batch size or number of epochs.
    for name in ("Gaussian", "L1 Loss"):
        row = row_of(tables["table1"], name)
        assert row.settings == "of the published code, as the paper gives none"
    assert row_of(tables["whisq2"], "MLP Only").settings == "of the paper"


@pytest.mark.parametrize(
    ("name", "row", "words"),
    [
        ("table1", "L1 Loss", "BatchNorm of its frozen encoders in training mode"),
        ("table2", "Mean Pooling, Transformer", "published code has no such model"),
        ("table2", "Attention Pooling, Transformer", "no positions are added"),
        ("table3", "DORA-MOS (CORAL)", "the published form"),
        ("table3", "DORA-MOS (Decoupled)", "no temporal block is behind ta"),
        ("table3", "Ensemble LightGBM", "error of almost 0 and an SRCC of 0.999"),
        ("whisq2", "WhisQ w/ OT (Proposed)", "where the paper says 2.66 M"),
    ],
)
def test_known_differences_stand_in_the_note_of_their_row(tables, name, row, words):
    assert words in row_of(tables[name], row).note


def test_what_holds_for_all_rows_of_a_kind_is_said_once(tables):
    note = tables["table3"].families["DORA-MOS"]
    for words in (
        "85 % of the training clips",
        "three linear layers",
        "two-layer MLP",
        "masks are right",
        "20 points from 1 to 5",
    ):
        assert words in note
    assert set(tables["table4"].families) == {"stack", "DORA-MOS"}
    assert tables["muq_eval"].families == {}


def test_gains_that_a_paper_states_are_of_rows_and_columns_of_its_table(tables):
    stated = {}
    for table in tables.values():
        for claim in table.claims:
            assert claim.column in table.columns
            stated[claim.stated] = (row_of(table, claim.row), row_of(table, claim.over))
    assert set(stated) == {"21.21 %", "31.47 %", "7 %", "14 %", "10 %"}
    row, base = stated["21.21 %"]
    assert row.paper[0] / base.paper[0] - 1 == pytest.approx(0.2115, abs=5e-5)
    row, base = stated["31.47 %"]
    assert row.paper[2] / base.paper[2] - 1 == pytest.approx(0.3149, abs=5e-5)


def test_a_table_can_be_measured_on_another_split_but_a_cross_validation_cannot(tables):
    moved = tables["table1"].measured_on("dev")
    assert (moved.split, moved.paper_split) == ("dev", "test")
    assert tables["table1"].measured_on("test") == tables["table1"]
    with pytest.raises(UsageError, match="Unknown split 'train'"):
        tables["table1"].measured_on("train")
    with pytest.raises(UsageError, match="muq_eval is a cross-validation over all"):
        tables["muq_eval"].measured_on("dev")


def test_a_table_of_music_impression_alone_needs_no_text_encoder(tables):
    assert tables["muq_eval"].encoders == ("muq",)
    assert tables["table1"].encoders == ("muq", "roberta")


def test_a_cross_validation_trains_a_model_per_fold(tables):
    assert tables["muq_eval"].count(3) == 3 * 5
