"""How readable the code is, in figures: run from the project's root.

For each package: syntax nodes per code line, comment lines per 100 code lines,
assignments that pack unrelated values (``a, b = x, y``), calls with seven or more
positional arguments, functions with more than eight parameters, and the number of files
in the fullest folder. CONTRIBUTING.md says what they should be. The figures inform;
nothing fails on them.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("base_models", "meta", "ensemble")
# Contexts say how a name is used, and are no syntax that anybody reads.
UNREAD_NODES = (ast.Load, ast.Store, ast.Del, ast.Module)


def docstring_lines(tree: ast.Module) -> set[int]:
    """Numbers of the lines that belong to docstrings and other bare texts."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Expr) else None
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            lines.update(range(node.lineno, node.end_lineno + 1))
    return lines


def read_nodes(tree: ast.Module, docstrings: set[int]) -> Iterator[ast.AST]:
    """The syntax nodes of a file that a reader takes in."""
    for node in ast.walk(tree):
        if isinstance(node, UNREAD_NODES):
            continue
        if isinstance(node, ast.Constant) and node.lineno in docstrings:
            continue
        yield node


def n_parameters(function: ast.FunctionDef) -> int:
    """Parameters of a function; an estimator's ``__init__`` may have any number."""
    if function.name == "__init__":
        return 0
    arguments = [*function.args.args, *function.args.kwonlyargs]
    return sum(argument.arg not in ("self", "cls") for argument in arguments)


def figures_of(path: Path) -> Counter[str]:
    """The counts of one file."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    docstrings = docstring_lines(tree)
    counts: Counter[str] = Counter()

    for number, line in enumerate(source.splitlines(), start=1):
        text = line.strip()
        if text.startswith("#"):
            counts["comments"] += 1
        elif text and number not in docstrings:
            counts["code"] += 1

    for node in read_nodes(tree, docstrings):
        counts["nodes"] += 1
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            counts["packed"] += isinstance(node.value, ast.Tuple)
        elif isinstance(node, ast.Call):
            counts["many positional"] += len(node.args) >= 7
        elif isinstance(node, ast.FunctionDef):
            counts["many parameters"] += n_parameters(node) > 8
    return counts


def main() -> None:
    """Print a line per package."""
    for package in PACKAGES:
        paths = sorted(Path(package).rglob("*.py"))
        counts: Counter[str] = Counter()
        for path in paths:
            counts += figures_of(path)
        fullest = max(Counter(path.parent for path in paths).values())
        print(
            f"{package}: {counts['nodes'] / counts['code']:.1f} nodes a line, "
            f"{100 * counts['comments'] / counts['code']:.1f} comments per 100 lines, "
            f"{counts['packed']} packed assignments, "
            f"{counts['many positional']} calls with 7 or more positional arguments, "
            f"{counts['many parameters']} functions with more than 8 parameters, "
            f"{fullest} files in the fullest folder"
        )


if __name__ == "__main__":
    main()
