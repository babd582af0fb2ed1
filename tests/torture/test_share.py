"""A share of the torture, of every row, with every run of the tests."""

import pytest
from torture.harness import ROWS, repeating, row_class, run_row, share_of

SEED = 0


@pytest.mark.parametrize("name", ROWS)
def test_a_share_of_each_row_is_survived(name):
    row = row_class(name)
    result = run_row(name, SEED, share_of(row), n_workers=1)
    failed = [
        f"{failure}\n  {repeating(name, SEED, case)}"
        for case, failure in result.failures
    ]
    assert not failed, "\n".join(failed)
    assert sum(result.tried.values()) >= row.n_share


@pytest.mark.parametrize("name", ROWS)
def test_a_whole_run_can_try_as_many_as_are_asked_for(name):
    row = row_class(name)
    assert row.what
    assert row.passes_when
    assert row.n_cases >= row.n_share > 0
