"""README and docs/ stay short and their links lead somewhere; versions and checks are the same wherever they stand."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def relative_links(page: Path) -> list[str]:
    """Paths that a page links to, without anchors and without other sites."""
    found = re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    return [link.partition("#")[0] for link in found if not re.match(r"https?:|#", link)]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    missing = [link for link in relative_links(page) if not (page.parent / link).exists()]
    assert not missing


def test_the_index_lists_every_page() -> None:
    index = ROOT / "docs" / "index.md"
    pages = {path.name for path in index.parent.glob("*.md")} - {index.name}
    assert pages <= set(relative_links(index))


def test_the_first_python_of_the_readme_is_an_example() -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert code is not None
    _, _, example = (ROOT / "examples" / "convs.py").read_text("utf-8").partition('"""\n\n')
    assert code[1] == example
    assert len(example.splitlines()) <= 20


def test_the_version_is_one() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert f"\n## {version}\n" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_every_commit_is_checked_as_a_change_is() -> None:
    """The hosted workflow, `.ci/run` and the hooks run the same things, which the Makefile has."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    steps = [step.get("run") for job in workflow["jobs"].values() for step in job["steps"]]
    assert ".ci/run" in steps
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("\nmake -j2 check test")
    makefile = (ROOT / "Makefile").read_text()
    checks = re.search(r"^check: setup\n((?:\t.*\n)+)", makefile, re.M)
    assert checks is not None
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    for hook in hooks:
        assert f"$(BIN)/{hook['name'].replace('ruff format', 'ruff format --check')}" in checks[1]


def test_quick_runs_what_there_is() -> None:
    folders = re.search(r"^QUICK +:= (.+)$", (ROOT / "Makefile").read_text().replace("\\\n", " "), re.M)
    assert folders is not None
    for folder in folders[1].split():
        assert (ROOT / folder).exists(), folder
