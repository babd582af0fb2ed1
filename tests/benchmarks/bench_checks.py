"""How many of scikit-learn's checks of an estimator each stacking regressor passes,
side by side.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import sklearn
from sklearn.ensemble import StackingRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.estimator_checks import check_estimator

from ensemble.estimator.stacked_mos import StackedMOS


def bases():
    return [
        ("line", LinearRegression()),
        ("ridge", Ridge()),
        ("tree", DecisionTreeRegressor(random_state=0)),
    ]


def asking():
    """The same bases, each asking for weights."""
    return [
        (name, model.set_fit_request(sample_weight=True)) for name, model in bases()
    ]


def mlxtend():
    from mlxtend.regressor import StackingCVRegressor

    return StackingCVRegressor([model for _, model in bases()], Ridge(), cv=2)


STACKS = {
    "StackedMOS(), bare": StackedMOS,
    "StackedMOS, three bases": lambda: StackedMOS(bases(), cv=2, validation=None),
    "StackedMOS, three bases, routing on": lambda: StackedMOS(
        asking(), cv=2, validation=None
    ),
    "scikit-learn StackingRegressor, three bases": lambda: StackingRegressor(
        bases(), cv=2
    ),
    "mlxtend StackingCVRegressor, three bases": mlxtend,
}
TARGETS, WEIGHTS = (
    "check_regressor_multioutput",
    "check_sample_weight_equivalence_on_dense_data",
)


@pytest.mark.filterwarnings("ignore")
def bench_scikit_learns_checks():
    """Checks of weights and of several targets are run for estimators that say they
    take them.
    """
    print(
        f"\n{'passed':>8} {'failed':>6} {'skipped':>7}  {'targets':11}  {'weights':11}"
    )
    for name, make in STACKS.items():
        if name.startswith("mlxtend") and find_spec("mlxtend") is None:
            print(f"{name}: not installed")
            continue
        with sklearn.config_context(enable_metadata_routing="routing" in name):
            found = check_estimator(make(), on_fail=None)
        kinds = [check["status"] for check in found]
        status = {check["check_name"]: check["status"] for check in found}
        targets, weights = (
            status.get(check, "not checked") for check in (TARGETS, WEIGHTS)
        )
        passed = kinds.count("passed")
        failed = kinds.count("failed")
        skipped = kinds.count("skipped")
        counts = f"{passed:8} {failed:6} {skipped:7}"
        print(f"{counts}  {targets:11}  {weights:11}  {name}")
        failed = [check for check, kind in status.items() if kind == "failed"]
        print("".join(f"{'':25}{check}\n" for check in failed), end="")
        assert not (failed and name.startswith("StackedMOS"))
