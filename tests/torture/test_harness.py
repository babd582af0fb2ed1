"""The torture itself notices what fails, dies and hangs, and goes on."""

from torture.harness import repeating, run_row, share_of
from torture.results import table
from torture.stumbling_row import Torture

NAME = "torture.stumbling_row"


def test_what_fails_raises_dies_and_hangs_is_named_and_the_rest_is_run():
    result = run_row(NAME, seed=0, cases=list(range(7)), n_workers=2)
    assert result.is_whole
    assert result.tried["passing"] == 30
    failures = dict(result.failures)
    assert sorted(failures) == [1, 2, 3, 4]
    assert failures[2] == "raised: ValueError: two lines"
    assert failures[3] == "ended badly: the worker ended with -11"
    assert failures[4] == "ended badly: it hung for 3 s"

    # The number and the seed fix the case, whoever runs it and after whatever.
    again = run_row(NAME, seed=0, cases=[1], n_workers=1)
    assert dict(again.failures)[1] == failures[1]
    assert not again.is_whole
    other = run_row(NAME, seed=1, cases=[1], n_workers=1)
    assert dict(other.failures)[1] != failures[1]
    assert repeating(NAME, 0, 1).endswith(f"torture {NAME} --seed 0 --case 1")

    text = table([result], seed=0)
    assert "| `stumbling_row` | stumbling | 34 | 7 | 4 | never |" in text
    # A row that is run again has one line, and others stay as they are.
    other = text.replace("stumbling_row", "earlier")
    both = table([result], seed=0, before=other)
    assert both.count("| stumbling | 34 |") == 2
    assert table([result], seed=0, before=both) == both
    assert "ended badly 2; failing 1; passing 30; raised 1" in text


def test_a_share_is_spread_over_all_cases():
    row = type("Wide", (Torture,), {"n_cases": 1000, "n_share": 4})
    assert share_of(row) == [0, 250, 500, 750]
    few = type("Few", (Torture,), {"n_cases": 3, "n_share": 4})
    assert share_of(few) == [0, 1, 2]
