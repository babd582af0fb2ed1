"""Everything that a stored scikit-learn estimator may consist of.

The list is explicit: what is not on it is refused by name, when it is saved and when it
is loaded. It is shorter than what `skops.io` trusts by itself, since a file chooses the
contents of what it names. Estimators whose compiled code believes its fitted arrays are
here only where `fitted_arrays` checks those; nearest-neighbour trees, splines, sparse
matrices and LightGBM's boosters are left out for that reason.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache

ESTIMATORS: Mapping[str, tuple[str, ...]] = {
    "sklearn.compose": ("ColumnTransformer", "TransformedTargetRegressor"),
    "sklearn.cross_decomposition": ("CCA", "PLSCanonical", "PLSRegression"),
    "sklearn.decomposition": ("PCA", "FactorAnalysis", "FastICA", "TruncatedSVD"),
    "sklearn.discriminant_analysis": (
        "LinearDiscriminantAnalysis",
        "QuadraticDiscriminantAnalysis",
    ),
    "sklearn.dummy": ("DummyClassifier", "DummyRegressor"),
    "sklearn.ensemble": (
        "AdaBoostRegressor",
        "BaggingClassifier",
        "BaggingRegressor",
        "ExtraTreesClassifier",
        "ExtraTreesRegressor",
        "GradientBoostingRegressor",
        "HistGradientBoostingClassifier",
        "HistGradientBoostingRegressor",
        "RandomForestClassifier",
        "RandomForestRegressor",
        "StackingClassifier",
        "StackingRegressor",
        "VotingClassifier",
        "VotingRegressor",
    ),
    "sklearn.feature_selection": (
        "RFE",
        "RFECV",
        "SelectFromModel",
        "SelectKBest",
        "SelectPercentile",
        "VarianceThreshold",
    ),
    "sklearn.gaussian_process": (
        "GaussianProcessClassifier",
        "GaussianProcessRegressor",
    ),
    "sklearn.gaussian_process.kernels": (
        "ConstantKernel",
        "DotProduct",
        "Exponentiation",
        "ExpSineSquared",
        "Matern",
        "Product",
        "RBF",
        "RationalQuadratic",
        "Sum",
        "WhiteKernel",
    ),
    "sklearn.impute": ("MissingIndicator", "SimpleImputer"),
    "sklearn.isotonic": ("IsotonicRegression",),
    "sklearn.kernel_approximation": ("Nystroem", "RBFSampler"),
    "sklearn.kernel_ridge": ("KernelRidge",),
    "sklearn.linear_model": (
        "ARDRegression",
        "BayesianRidge",
        "ElasticNet",
        "ElasticNetCV",
        "GammaRegressor",
        "HuberRegressor",
        "Lars",
        "LarsCV",
        "Lasso",
        "LassoCV",
        "LassoLars",
        "LassoLarsCV",
        "LassoLarsIC",
        "LinearRegression",
        "LogisticRegression",
        "LogisticRegressionCV",
        "MultiTaskElasticNet",
        "MultiTaskElasticNetCV",
        "MultiTaskLasso",
        "MultiTaskLassoCV",
        "OrthogonalMatchingPursuit",
        "OrthogonalMatchingPursuitCV",
        "PoissonRegressor",
        "QuantileRegressor",
        "RANSACRegressor",
        "Ridge",
        "RidgeCV",
        "RidgeClassifier",
        "RidgeClassifierCV",
        "SGDClassifier",
        "SGDRegressor",
        "TheilSenRegressor",
        "TweedieRegressor",
    ),
    "sklearn.model_selection": (
        "GridSearchCV",
        "GroupKFold",
        "KFold",
        "RandomizedSearchCV",
        "RepeatedKFold",
        "ShuffleSplit",
        "StratifiedKFold",
    ),
    "sklearn.multioutput": ("MultiOutputRegressor", "RegressorChain"),
    "sklearn.naive_bayes": ("GaussianNB",),
    "sklearn.neural_network": ("MLPClassifier", "MLPRegressor"),
    "sklearn.pipeline": ("FeatureUnion", "Pipeline"),
    "sklearn.preprocessing": (
        "FunctionTransformer",
        "LabelBinarizer",
        "LabelEncoder",
        "MaxAbsScaler",
        "MinMaxScaler",
        "Normalizer",
        "OneHotEncoder",
        "OrdinalEncoder",
        "PolynomialFeatures",
        "PowerTransformer",
        "QuantileTransformer",
        "RobustScaler",
        "StandardScaler",
    ),
    "sklearn.svm": ("LinearSVC", "LinearSVR", "NuSVC", "NuSVR", "SVC", "SVR"),
    "sklearn.tree": (
        "DecisionTreeClassifier",
        "DecisionTreeRegressor",
        "ExtraTreeClassifier",
        "ExtraTreeRegressor",
    ),
}
"""Estimators and their splitters and kernels, by the public module they are in."""

OWN: Mapping[str, tuple[str, ...]] = {
    # One estimator per aspect, where an estimator knows a single target.
    "ensemble.estimator.fit_base_models": ("PerAspect",),
}
"""Estimators of this project, by the module they are defined in."""

PARTS: Mapping[str, tuple[str, ...]] = {
    "sklearn._loss.link": (
        "HalfLogitLink",
        "IdentityLink",
        "Interval",
        "LogLink",
        "LogitLink",
        "MultinomialLogit",
    ),
    "sklearn._loss.loss": (
        "AbsoluteError",
        "ExponentialLoss",
        "HalfBinomialLoss",
        "HalfGammaLoss",
        "HalfMultinomialLoss",
        "HalfPoissonLoss",
        "HalfSquaredError",
        "HalfTweedieLoss",
        "HalfTweedieLossIdentity",
        "HuberLoss",
        "PinballLoss",
    ),
    "sklearn.compose._column_transformer": ("_RemainderColsList",),
    "sklearn.ensemble._hist_gradient_boosting.binning": ("_BinMapper",),
    "sklearn.ensemble._hist_gradient_boosting.predictor": ("TreePredictor",),
    "sklearn.gaussian_process._gpc": ("_BinaryGaussianProcessClassifierLaplace",),
    "sklearn.metrics._scorer": ("_PassthroughScorer", "_Scorer"),
    "sklearn.neural_network._stochastic_optimizers": ("AdamOptimizer", "SGDOptimizer"),
}
"""Private parts of the estimators, by the module they are defined in."""

LOSSES: Mapping[str, tuple[str, ...]] = {
    "sklearn._loss._loss": (
        "CyAbsoluteError",
        "CyExponentialLoss",
        "CyHalfBinomialLoss",
        "CyHalfGammaLoss",
        "CyHalfMultinomialLoss",
        "CyHalfPoissonLoss",
        "CyHalfSquaredError",
        "CyHalfTweedieLoss",
        "CyHalfTweedieLossIdentity",
        "CyHuberLoss",
        "CyPinballLoss",
    ),
    "sklearn.linear_model._sgd_fast": (
        "EpsilonInsensitive",
        "Hinge",
        "ModifiedHuber",
        "SquaredEpsilonInsensitive",
        "SquaredHinge",
    ),
}
"""Compiled losses, which are made from numbers."""

NUMBERS: Mapping[str, tuple[str, ...]] = {
    "numpy": (
        "bool",
        "float32",
        "float64",
        "int16",
        "int32",
        "int64",
        "int8",
        "str_",
        "uint16",
        "uint32",
        "uint64",
        "uint8",
    )
}
"""Types of single values of numpy."""

FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    "numpy": (
        "absolute",
        "cbrt",
        "exp",
        "expm1",
        "log",
        "log10",
        "log1p",
        "log2",
        "sqrt",
        "square",
    ),
    "sklearn.feature_selection._univariate_selection": (
        "f_classif",
        "f_regression",
        "r_regression",
    ),
    "sklearn.metrics._regression": (
        "mean_absolute_error",
        "mean_squared_error",
        "r2_score",
        "root_mean_squared_error",
    ),
}
"""Functions of numbers that have no other effect than the number they return."""


@cache
def types_by_loader() -> dict[str, frozenset[str]]:
    """Full names of what each loader of skops may construct; no other loader is used.

    A loader is how an object is made from the file: a type that is harmless as an
    object whose attributes are set may not be so when it is called.
    """
    numbers = _names(NUMBERS)
    plain = {f"builtins.{name}" for name in ("bool", "float", "int", "str")}
    return {
        "ObjectNode": _defining_names(ESTIMATORS) | _names(OWN) | _names(PARTS),
        "LossNode": _names(LOSSES),
        "TreeNode": frozenset({"sklearn.tree._tree.Tree"}),
        "FunctionNode": _names(FUNCTIONS),
        "TypeNode": numbers | plain,
        "NdArrayNode": numbers | {"numpy.ndarray"},
        "MaskedArrayNode": frozenset({"numpy.ma.MaskedArray"}),
        "DTypeNode": frozenset({"numpy.dtype"}),
        "RandomStateNode": frozenset({"numpy.random.mtrand.RandomState"}),
        "RandomGeneratorNode": frozenset({"numpy.random._generator.Generator"}),
        "DictNode": frozenset({"builtins.dict", "sklearn.utils._bunch.Bunch"}),
        "ListNode": frozenset({"builtins.list"}),
        "SetNode": frozenset({"builtins.set"}),
        "SliceNode": frozenset({"builtins.slice"}),
        "TupleNode": frozenset({"builtins.tuple"}),
        "JsonNode": frozenset({"builtins.str"}),
    }


def _names(by_module: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    return frozenset(
        f"{module}.{name}" for module, names in by_module.items() for name in names
    )


def _defining_names(by_module: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """Names as files have them: a class with the module that it is defined in."""
    names = set()
    for module, classes in by_module.items():
        home = importlib.import_module(module)
        for name in classes:
            kind = getattr(home, name)
            names.add(f"{kind.__module__}.{kind.__qualname__}")
    return frozenset(names)
