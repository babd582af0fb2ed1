"""Imports point back along the data flow, and no module imports in a circle."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest
from absent_libraries import run_python
from builders import ROOT

from base_models.optional_libraries import EXTRA_OF_LIBRARY

MAY_IMPORT = {
    "base_models": {"base_models"},
    "meta": {"meta", "base_models"},
    "ensemble": {"ensemble", "meta", "base_models"},
}
LEVELS = {
    "base_models": [
        {"clip_status"},
        {"errors"},
        {"optional_libraries"},
        {"file_checks"},
        {
            "bins",
            "devices",
            "files",
            "mono_rules",
            "precision",
            "processes",
            "scales",
            "vector_range",
        },
        {"predictions", "settings", "clips", "sklearn_files", "frame_range"},
        {"config", "pooled_config"},
        {"model_presets"},
        {"metrics", "networks"},
        {"encoders"},
        {"clip_model"},
        {"training", "pooled"},
    ],
    "meta": [
        {"rows", "columns", "multiple_tests"},
        {"splits", "uncertainty", "ridge_algebra", "predicted_rows", "powered_means"},
        {"learners", "comparison"},
        {"cross_fit"},
        {"regressor_state", "regressor_calibration"},
        {"regressor"},
        {
            "adaptation",
            "score_columns",
            "disagreement_report",
            "cross_fitted_regressor",
        },
        {"assessment", "adaptation_curve", "score_flags"},
    ],
    "ensemble": [
        {"version"},
        {"cluster"},
        {
            "screen",
            "engine",
            "workspace",
            "formats",
            "prediction_files",
        },
        {"rated_systems", "some_ratings", "system_folders"},
        {
            "training",
            "reporting",
            "evaluate_predictions",
            "evaluate_arrays",
            "rate_less",
        },
        {"hub", "compare_systems", "answered_clips"},
        {"estimator", "compare_predictions"},
        {"scoring", "stacking", "papers"},
        {"attention"},
        {"server"},
        {"cli"},
        {"__main__"},
    ],
}
"""Wings and files of each package, which may import those of the levels before."""
GROUND = [
    "bins.py",
    "config.py",
    "model_presets.py",
    "pooled_config.py",
    "settings.py",
    "errors.py",
    "files",
    "optional_libraries.py",
    "predictions.py",
    "scales.py",
    "mono_rules.py",
    "vector_range.py",
    "file_checks",
    "clips",
    "metrics",
]
META_MAY_USE = {
    "bins",
    "clips",
    "predictions",
    "metrics",
    "errors",
    "files",
    "vector_range",
}
TORCH_WINGS = [
    "base_models/networks",
    "base_models/training",
    "base_models/encoders/numerics",
    "base_models/encoders/audio",
    "base_models/encoders/joint",
    "base_models/encoders/numerics",
    "base_models/encoders/text",
]
"""Folders that are of no use without torch, and ask for it before they import it."""
SERVER_LIBRARIES = ("starlette", "python_multipart", "uvicorn")
WINGS_OF_LIBRARIES = {
    **dict.fromkeys(TORCH_WINGS, ("torch",)),
    "ensemble/server": SERVER_LIBRARIES,
}
"""Folders that are of no use without libraries, and ask for them in this order."""
ASKED_FOR_BEFORE = {
    "ensemble/cluster/run_pieces.py": {"distributed"},
    "base_models/encoders/base.py": {"huggingface_hub"},
    "base_models/encoders/weights.py": {"huggingface_hub"},
}
"""What functions outside of these folders import once they know that it is there."""
LIGHT_PATH = [
    "base_models/clips",
    "base_models/metrics",
    "meta",
    "ensemble/cli",
    "ensemble/estimator",
    "ensemble/hub",
    "ensemble/prediction_files",
    "ensemble/reporting",
    "ensemble/stacking",
    "ensemble/evaluate_predictions.py",
    "ensemble/compare_systems.py",
    "ensemble/rate_less.py",
    "ensemble/rated_systems.py",
    "ensemble/some_ratings.py",
    "ensemble/scoring/score_predictions.py",
]
"""What stacks, evaluates and completes predictions and ratings."""
UNSAFE = {
    "pickle.load",
    "pickle.loads",
    "joblib.load",
    "torch.load",
    "eval",
    "exec",
    "yaml.load",
    "np.load",
    "numpy.load",
}


def modules(package):
    return sorted((ROOT / package).rglob("*.py"))


def imported(path, nodes=None):
    for node in nodes or ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_follow_the_floors(package):
    assert modules(package)
    for path in modules(package):
        ours = {name.split(".")[0] for name in imported(path)} & set(MAY_IMPORT)
        assert ours <= MAY_IMPORT[package], path


def test_the_meta_floor_uses_only_the_ground_of_base_models():
    for path in modules("meta"):
        used = {
            name.split(".")[1]
            for name in imported(path)
            if name.startswith("base_models.")
        }
        assert used <= META_MAY_USE, path
        assert not any(name.split(".")[0] == "torch" for name in imported(path)), path


def wing_of(name):
    """The wing or file, right below its package, that a module belongs to."""
    return name.split(".")[1] if "." in name else ""


@pytest.mark.parametrize("package", LEVELS)
def test_wings_import_only_wings_of_the_levels_before_their_own(package):
    level_of = {
        wing: level for level, wings in enumerate(LEVELS[package]) for wing in wings
    }
    places = {
        path.stem if path.is_file() else path.name
        for path in (ROOT / package).iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert places - {"__init__"} == set(level_of)
    for path in modules(package):
        own = path.relative_to(ROOT / package).with_suffix("").parts[0]
        for name in imported(path):
            if own == "__init__" or name.split(".")[0] != package:
                continue
            other = wing_of(name)
            if other != own:
                assert level_of[other] < level_of[own], f"{path} imports {name}"


@pytest.mark.parametrize("package", LEVELS)
def test_no_module_imports_in_a_circle(package):
    imports = {}
    for path in modules(package):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        names = set(imported(path))
        names |= {other.rpartition(".")[0] for other in names}
        imports[name.removesuffix(".__init__")] = names
    graph = {name: others & set(imports) - {name} for name, others in imports.items()}
    order = list(TopologicalSorter(graph).static_order())  # CycleError in a circle
    assert set(order) == set(imports)


@pytest.mark.parametrize("place", GROUND)
def test_the_ground_does_not_import_torch_even_inside_functions(place):
    root = ROOT / "base_models" / place
    paths = sorted(root.rglob("*.py")) if root.is_dir() else [root]
    assert paths
    for path in paths:
        assert not any(name.split(".")[0] == "torch" for name in imported(path)), path


@pytest.mark.parametrize(
    "module",
    [
        "meta",
        "meta.regressor",
        "ensemble",
        "ensemble.cli.shared.exit_codes",
        "base_models.config",
    ],
)
def test_importing_a_door_leaves_torch_unloaded(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode
        == 0
    )


def imported_in_earnest(path):
    """Libraries that a module or its functions import, and not only for their types."""
    nodes = []
    pending = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        nodes.append(node)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            pending += node.orelse
        else:
            pending += ast.iter_child_nodes(node)
    return {name.split(".")[0] for name in imported(path, nodes)}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_only_folders_that_ask_for_it_import_what_may_be_missing(package):
    for path in modules(package):
        place = path.relative_to(ROOT).as_posix()
        if not place.startswith(tuple(f"{wing}/" for wing in WINGS_OF_LIBRARIES)):
            optional = imported_in_earnest(path) & set(EXTRA_OF_LIBRARY)
            assert optional <= ASKED_FOR_BEFORE.get(place, set()), place


@pytest.mark.parametrize("wing", WINGS_OF_LIBRARIES)
def test_a_folder_that_needs_libraries_asks_for_them_first(wing):
    first = ast.parse((ROOT / wing / "__init__.py").read_text()).body
    asked_for = [f"require({name!r})" for name in WINGS_OF_LIBRARIES[wing]]
    assert [ast.unparse(node) for node in first[-len(asked_for) :]] == asked_for
    between = first[1 : -len(asked_for)]
    assert all(isinstance(node, ast.ImportFrom) for node in between)


def test_the_light_path_is_imported_where_no_optional_library_is(tmp_path):
    names = []
    for place in LIGHT_PATH:
        path = ROOT / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            names.append(module.removesuffix(".__init__"))
    assert len(names) > 100
    code = f"""
import importlib, json, sys
for name in {names}:
    importlib.import_module(name)
print(json.dumps(sorted(sys.modules)))
"""
    loaded = {name.partition(".")[0] for name in run_python(code, tmp_path)}
    assert not loaded & set(EXTRA_OF_LIBRARY)


def test_nothing_that_is_loaded_can_run_code():
    for package in MAY_IMPORT:
        for path in modules(package):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    assert ast.unparse(node.func) not in UNSAFE, f"{path}:{node.lineno}"
                    assert not any(
                        k.arg in {"trust_remote_code", "allow_pickle"}
                        for k in node.keywords
                    ), path


def test_the_benches_can_be_collected():
    """Nothing else runs them, so that what moves would break them unseen."""
    words = [
        "--collect-only",
        "-q",
        "-o",
        "addopts=--import-mode=importlib",
        "-o",
        "python_files=bench_*.py",
        "-o",
        "python_functions=bench_*",
        "-o",
        "pythonpath=tests tests/benchmarks",
        "tests/benchmarks",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout[-2000:]
