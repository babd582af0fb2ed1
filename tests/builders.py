"""What tests share: places, and small things of every kind to test on."""

from pathlib import Path

from meta.rows import Rows
from meta.splits.meta_split import VALIDATION_SHARE

ROOT = Path(__file__).parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"


def rows_of_tables(tables, labels, ids=None, aspects=None, **known):
    """`Rows` of the clips and aspects of the first table, unless others are named."""
    first = tables[0]
    return Rows.of(
        first.clip_ids if ids is None else ids,
        labels,
        first.aspects if aspects is None else aspects,
        **known,
    )


def fit_measured(regressor, tables, rows, validation=VALIDATION_SHARE):
    """The trial of a meta regressor, which is then fitted and calibrated on all rows."""
    trial = regressor.held_out_trial(tables, rows, validation)
    counted = rows.counted()
    regressor.fit(tables, counted)
    regressor.calibrate(tables, counted)
    return trial
