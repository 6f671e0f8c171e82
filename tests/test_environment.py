"""environment.yml, pyproject.toml and the Makefile must tell one story."""

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
CONDA_NAMES = {"torch": "pytorch", "torch_geometric": "pytorch_geometric", "torch_scatter": "pytorch_scatter",
               "torch_cluster": "pytorch_cluster"}  # fmt: skip


def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def needed() -> list[Requirement]:
    """What the package and its extras need, but for what only changes to it need."""
    project = pyproject()["project"]
    extras = [group for name, group in project["optional-dependencies"].items() if name != "dev"]
    return [Requirement(line) for group in (project["dependencies"], *extras) for line in group]


def environment() -> tuple[dict[str, Requirement], dict[str, Requirement]]:
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    conda = [Requirement(entry) for entry in entries if isinstance(entry, str)]
    return {r.name: r for r in conda}, {r.name: r for r in map(Requirement, pip)}


def test_environment_holds_every_dependency_with_the_same_range():
    conda, pip = environment()
    for requirement in needed():
        name = CONDA_NAMES.get(requirement.name, requirement.name)
        found = pip.get(name) or conda.get(name)
        assert found is not None, f"environment.yml lacks {name}"
        assert found.specifier == requirement.specifier, f"{name}: {found.specifier} against {requirement.specifier}"
    assert str(conda["python"].specifier) == pyproject()["project"]["requires-python"]


def test_environment_holds_nothing_else():
    conda, pip = environment()
    known = {CONDA_NAMES.get(requirement.name, requirement.name) for requirement in needed()} | {"python", "pip"}
    assert set(conda) | set(pip) == known


def test_dependencies_have_lower_bounds():
    project = pyproject()["project"]
    extras = [r for group in project["optional-dependencies"].values() for r in group]
    for requirement in map(Requirement, project["dependencies"] + extras):
        assert any(s.operator == ">=" for s in requirement.specifier), requirement


def test_the_torch_that_the_makefile_installs_is_within_range():
    pinned = re.search(r"^TORCH\s*\?= torch==(\S+)", (ROOT / "Makefile").read_text(), re.M)
    assert pinned is not None
    torch = next(Requirement(r) for r in pyproject()["project"]["dependencies"] if Requirement(r).name == "torch")
    assert torch.specifier.contains(pinned[1])
