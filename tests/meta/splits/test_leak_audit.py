import json

import pytest

from base_models.errors import UsageError
from base_models.predictions import PredictionTable
from meta.splits.leak_audit import ROLES, audit, refuse_leaks

CLIPS = [f"c{i}" for i in range(10)]


def table(model="dora-s0", trained_on=(), selected_on=()):
    scores = [[3.0]] * len(CLIPS)
    seen = {"trained_on": frozenset(trained_on), "selected_on": frozenset(selected_on)}
    return PredictionTable.from_scores(model, CLIPS, ["mi"], scores, **seen)


def test_separate_splits_do_not_leak():
    found = audit(
        [table(trained_on=["t0", "t1"], selected_on=["v0"])],
        {"meta-training": CLIPS[:6], "meta-validation": CLIPS[6:]},
    )
    assert found.overlaps == ()
    assert found.refuse() == found.refuse(allow_leak=True) == []
    assert found.counts == {
        "dora-s0": {"training": 2, "selection": 1},
        "stack": {"meta-training": 6, "meta-validation": 4},
    }


def test_checkpoints_chosen_on_the_dev_split_that_fits_the_stack_are_caught():
    bases = [
        table(f"dora-s{k}", trained_on=["t0"], selected_on=CLIPS) for k in range(5)
    ]  # as the published code does
    found = audit(bases, {"meta-training": CLIPS[:6], "meta-validation": CLIPS[6:]})
    assert [(o.model, o.use, o.role, len(o.clip_ids)) for o in found.overlaps] == [
        (f"dora-s{k}", "selection", role, n)
        for k in range(5)
        for role, n in (("meta-training", 6), ("meta-validation", 4))
    ]
    with pytest.raises(
        UsageError,
        match=r"'c0', .* were used to select a checkpoint of 'dora-s0'; "
        r"meta-training on",
    ):
        found.refuse()
    marks = found.refuse(allow_leak=True)
    assert marks[0] == (
        "leaky: 6 clips of meta-training were used to select a checkpoint of 'dora-s0'"
    )
    assert len(marks) == 10


def test_a_stack_fitted_on_the_clips_that_it_reports_is_caught():
    found = audit(
        [table(trained_on=["t0"])], {"meta-training": CLIPS, "test": CLIPS[:2]}
    )
    with pytest.raises(
        UsageError, match="Clips 'c0', 'c1' are in meta-training and in test"
    ):
        found.refuse()
    assert found.refuse(allow_leak=True) == [
        "leaky: 2 clips of test are in meta-training too"
    ]


def test_the_same_audio_under_another_id_is_caught():
    contents = {"t0": "aa", "c3": "aa", "c4": "bb", "t1": None, "c5": None}
    found = audit([table(trained_on=["t0", "t1"])], {"meta-training": CLIPS}, contents)
    (overlap,) = found.overlaps
    assert (overlap.clip_ids, overlap.known_as, overlap.by_content) == (
        ("c3",),
        ("t0",),
        1,
    )
    with pytest.raises(
        UsageError, match=r"'c3 \(the audio of t0\)' were used to train 'dora-s0'"
    ):
        found.refuse()
    mark = (
        "leaky: 1 clip of meta-training was used to train 'dora-s0', 1 by their audio"
    )
    assert found.refuse(allow_leak=True) == [mark]
    assert found.unhashed == 12 - 3
    assert audit([table(trained_on=["t0"])], {"meta-training": CLIPS}).overlaps == ()


def test_equal_audio_within_one_use_is_no_leak():
    assert (
        audit([table()], {"meta-training": CLIPS}, dict.fromkeys(CLIPS, "aa")).overlaps
        == ()
    )


def test_out_of_fold_predictions_do_not_leak_and_unlisted_models_are_named():
    found = audit(
        [table(), table("other", selected_on=["v0"])], {"meta-training": CLIPS}
    )
    assert found.overlaps == ()
    assert found.unlisted == ("dora-s0",)


def test_every_pair_of_uses_agrees_with_a_loop_over_sets():
    bases = [table("a", CLIPS[:3], CLIPS[2:5]), table("b", CLIPS[8:], ["x"])]
    rows = dict(zip(ROLES, (CLIPS[1:4], CLIPS[3:9], CLIPS[8:]), strict=True))
    expected = {}
    for base in bases:
        for use, seen in (
            ("training", base.trained_on),
            ("selection", base.selected_on),
        ):
            expected |= {
                (base.model, use, role): set(clips) & seen
                for role, clips in rows.items()
            }
    for k, role in enumerate(ROLES):
        expected |= {
            ("stack", before, role): set(rows[role]) & set(rows[before])
            for before in ROLES[:k]
        }
    found = {
        (o.model, o.use, o.role): set(o.clip_ids) for o in audit(bases, rows).overlaps
    }
    assert found == {key: clips for key, clips in expected.items() if clips}


def test_the_record_is_json():
    record = audit([table(trained_on=["c1"])], {"meta-training": CLIPS}).to_json()
    assert json.loads(json.dumps(record)) == record
    assert record["leaks"]
    assert record["overlaps"][0]["clip_ids"] == ["c1"]


def test_an_unknown_role_is_refused():
    with pytest.raises(
        UsageError, match=r"Unknown role 'meta-traning'\. Did you mean 'meta-training'"
    ):
        audit([table()], {"meta-traning": CLIPS})


def test_clips_that_a_model_was_trained_on_are_refused_by_name():
    leaky = table("dora-s0", trained_on=frozenset({"c1", "c3"}))
    message = (
        "Clips 'c1', 'c3' were used to train 'dora-s0'; meta-training on them leaks. "
        "Pass clips of another split."
    )
    with pytest.raises(UsageError) as refusal:
        refuse_leaks([table("fine"), leaky], CLIPS[1:4])
    assert str(refusal.value) == message


def test_clips_that_chose_a_checkpoint_are_refused_too():
    with pytest.raises(
        UsageError, match=r"Clips 'c2' were used to select a checkpoint of 'a'; .*leaks"
    ):
        refuse_leaks([table("a", selected_on=frozenset({"c2"}))], CLIPS)


def test_seen_clips_that_are_not_asked_for_do_no_harm():
    refuse_leaks(
        [table("a", trained_on=frozenset({"c1"}), selected_on=frozenset({"zz"}))],
        ["c2", "c3"],
    )
