"""What an installation brings: bounds, exact versions, the wheel and the container."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest
from builders import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ensemble

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
KINDS = {"base": (), "train": ("train",), "all": tuple(EXTRAS)}
DOCKERFILE = ROOT / "Dockerfile"


def group_lines(name):
    """The requirements of a group of developers, with those of groups it includes."""
    for line in PYPROJECT["dependency-groups"][name]:
        if isinstance(line, dict):
            yield from group_lines(line["include-group"])
        else:
            yield line


def bounds(extras, group=()):
    """The requirements of the base and of extras, with those that these name."""
    found = [Requirement(line) for line in [*PROJECT["dependencies"], *group]]
    pending = list(extras)
    while pending:
        for line in EXTRAS[pending.pop()]:
            requirement = Requirement(line)
            if requirement.name == PROJECT["name"]:
                pending += requirement.extras
            else:
                found.append(requirement)
    return found


def pinned(kind):
    """Name of each package of a file of constraints to its version."""
    text = (ROOT / "constraints" / f"{kind}.txt").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    found = [
        re.fullmatch(r"([a-z0-9-]+)==(\S+) --hash=sha256:[0-9a-f]{64}", line)
        for line in lines
    ]
    assert all(found), "every line has a name, a version and a hash, and no address"
    versions = {match[1]: match[2] for match in found}
    assert len(versions) == len(lines)
    return versions


@pytest.mark.parametrize("kind", KINDS)
def test_exact_versions_agree_with_the_bounds(kind):
    """Where they do not, ``make lock`` writes them anew."""
    versions = pinned(kind)
    group = group_lines("dev") if kind == "all" else []
    for requirement in bounds(KINDS[kind], group):
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement} is not in constraints/{kind}.txt"
        assert requirement.specifier.contains(version, prereleases=True), requirement


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_installation_brings_no_library_of_another(kind):
    missing = {
        canonicalize_name(requirement.name)
        for requirement in bounds(EXTRAS)
        if requirement not in bounds(KINDS[kind])
    }
    assert not missing & set(pinned(kind))


def test_no_requirement_stands_twice():
    dev = list(group_lines("dev"))
    lists = {"base": PROJECT["dependencies"], "dev": dev, **EXTRAS}
    names = [
        canonicalize_name(Requirement(line).name)
        for lines in lists.values()
        for line in lines
    ]
    names = [name for name in names if name != PROJECT["name"]]
    assert len(names) == len(set(names))


def test_the_wheel_has_types_licences_and_the_version(tmp_path):
    words = ["-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.iterdir()
    assert wheel.name == f"stackedmos-{ensemble.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        (metadata,) = [name for name in names if name.endswith("/METADATA")]
        facts = file.read(metadata).decode()
    for package in ("base_models", "meta", "ensemble"):
        assert f"{package}/py.typed" in names
    assert sum("/licenses/" in name for name in names) == 2
    assert f"\nVersion: {ensemble.__version__}\n" in facts
    plain = re.findall(r"^Requires-Dist: ([\w-]+)(?!.*extra ==)", facts, re.M)
    assert len(plain) == len(PROJECT["dependencies"])
    assert "torch" not in plain


def test_the_container_names_no_host_and_runs_as_nobody_special():
    text = DOCKERFILE.read_text()
    instructions = re.sub(r"^#.*\n", "", text, flags=re.M).replace("\\\n", " ")
    lines = instructions.splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    # A first part with a dot or a port would be a registry; a tag follows the colon.
    assert bases
    assert all(re.fullmatch(r"[a-z]+:[\w.-]+[^/]*", base) for base in bases)
    assert "://" not in instructions
    assert "--index" not in instructions
    (user,) = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert user.isdigit()
    assert int(user) > 0
    assert all("--require-hashes" in it for it in lines if "--requirement" in it)


def test_the_container_is_built_from_what_the_repository_holds():
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    kept = [line[1:] for line in kept if line.startswith("!")]
    packages = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    licences = [PROJECT["readme"], *PROJECT["license-files"]]
    for name in ["pyproject.toml", *packages, *licences]:
        assert (ROOT / name).exists()
        assert name.split("/")[0] in kept


def test_hadolint_has_nothing_to_say_of_the_dockerfile():
    hadolint = shutil.which("hadolint", path=str(sys.executable).rpartition("/")[0])
    if hadolint is None:
        pytest.skip("hadolint is not installed for this platform")
    done = subprocess.run(
        [hadolint, str(DOCKERFILE)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
