"""Private names of scikit-learn that this package needs, in one place.

Where there is a public name, it is used instead. A release of scikit-learn that moves
one of these breaks this file and no other.
"""

# Rows of an array, a frame or a list: there is no public counterpart.
from sklearn.utils import _safe_indexing as take_rows_of_anything

# The box of a notebook's diagram, which `_sk_visual_block_` has to return.
from sklearn.utils._repr_html.estimator import _VisualBlock as VisualBlock

# Refuses further arguments of `fit` without routing, as scikit-learn words it.
from sklearn.utils.metadata_routing import _raise_for_params as raise_for_params

# Whether metadata routing is on.
from sklearn.utils.metadata_routing import _routing_enabled as routing_enabled

# Parameters of named estimators (``name__parameter``), as StackingRegressor has them.
from sklearn.utils.metaestimators import _BaseComposition as BaseComposition

# Checks the argument of `get_feature_names_out` against the names seen in `fit`.
from sklearn.utils.validation import _check_feature_names_in as check_feature_names_in

# Those values of `fit`'s arguments that belong to the rows of a fold.
from sklearn.utils.validation import _check_method_params as params_of_rows

# Weights as scikit-learn checks and words them, which `check_estimator` asks for.
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = [
    "BaseComposition",
    "VisualBlock",
    "check_feature_names_in",
    "check_sample_weight",
    "params_of_rows",
    "raise_for_params",
    "routing_enabled",
    "take_rows_of_anything",
]
