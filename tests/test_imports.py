"""Imports point back along the data flow: base_models, meta, ensemble; the ground and the doors are free of torch."""

import ast
import subprocess
import sys

import pytest
from builders import ROOT

MAY_IMPORT = {
    "base_models": {"base_models"},
    "meta": {"meta", "base_models"},
    "ensemble": {"ensemble", "meta", "base_models"},
}
GROUND = [
    "bins.py",
    "config.py",
    "errors.py",
    "files.py",
    "predictions.py",
    "clips",
    "metrics",
]
META_MAY_USE = {"bins", "clips", "predictions", "metrics", "errors", "files"}
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
