"""Imports point back along the data flow, and no module imports in a circle."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest
from builders import ROOT

MAY_IMPORT = {
    "base_models": {"base_models"},
    "meta": {"meta", "base_models"},
    "ensemble": {"ensemble", "meta", "base_models"},
}
LEVELS = {
    "base_models": [
        {"errors"},
        {"bins", "files", "devices", "scales", "vector_range"},
        {"predictions", "settings", "clips", "sklearn_files", "frame_range"},
        {"config", "pooled_config"},
        {"model_presets"},
        {"metrics", "networks"},
        {"encoders"},
        {"clip_model"},
        {"training", "pooled"},
    ],
    "meta": [
        {"rows", "columns"},
        {"splits", "uncertainty", "ridge_algebra", "predicted_rows"},
        {"learners", "comparison"},
        {"cross_fit", "powered_means"},
        {"regressor_state", "regressor_calibration"},
        {"regressor"},
        {
            "adaptation",
            "score_columns",
            "disagreement_report",
            "cross_fitted_regressor",
        },
        {"assessment", "adaptation_curve"},
    ],
    "ensemble": [
        {"version"},
        {"screen", "engine", "workspace", "formats", "prediction_files"},
        {"training", "reporting", "evaluate_predictions", "rate_less"},
        {"estimator"},
        {"scoring", "stacking", "papers"},
        {"attention"},
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
    "files.py",
    "predictions.py",
    "scales.py",
    "vector_range.py",
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


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
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
