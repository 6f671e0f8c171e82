"""README and docs/ stay short, their links lead somewhere, and their commands are taken as they stand."""

import importlib
import inspect
import re
import shlex
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from hgg_pyg.runtime import _parse
from hgg_pyg.types import UserError

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def relative_links(page: Path) -> list[str]:
    """Paths that a page links to, without anchors and without other sites."""
    found = re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    return [link.partition("#")[0] for link in found if not re.match(r"https?:|#", link)]


def commands(text: str) -> list[str]:
    """Command lines of a page that start one of our modules: in fenced blocks, and in the text between backticks."""
    lines, prose = [], []
    for number, part in enumerate(re.split(r"^```.*\n", text, flags=re.M)):
        if number % 2:
            lines += part.replace("\\\n", " ").splitlines()
        else:
            prose.append(part)
    lines += [" ".join(code.split()) for part in prose for code in re.findall(r"`([^`]+)`", part)]
    found = [re.match(r"(?:PYTHONPATH=\S+ )?(python -m (?:hgg_pyg|benchmarks)\.\w+.*)", line) for line in lines]
    return [match[1] for match in found if match]


def all_commands() -> list[Any]:
    return [
        pytest.param(line, id=f"{page.name}-{number}")
        for page in PAGES
        for number, line in enumerate(dict.fromkeys(commands(page.read_text("utf-8"))))
    ]


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


def test_the_version_is_one() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert f"\n## {version}\n" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_every_commit_is_checked_as_a_change_is() -> None:
    """The hosted workflow, `.ci/run` and the hooks run the same things, which the Makefile has."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    steps = [step.get("run") for job in workflow["jobs"].values() for step in job["steps"]]
    assert ".ci/run" in steps
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("\nmake check test")
    makefile = (ROOT / "Makefile").read_text()
    checks = re.search(r"^check: setup\n((?:\t.*\n)+)", makefile, re.M)
    assert checks is not None
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    for hook in hooks:
        assert f"$(BIN)/{hook['name'].replace('ruff format', 'ruff format --check')}" in checks[1]


def test_quick_runs_what_there_is() -> None:
    folders = re.search(r"^QUICK +:= (.+)$", (ROOT / "Makefile").read_text(), re.M)
    assert folders is not None
    for folder in folders[1].split():
        assert (ROOT / folder).exists(), folder


def test_the_first_python_of_the_readme_is_an_example() -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert code is not None
    _, _, example = (ROOT / "examples" / "convs.py").read_text("utf-8").partition('"""\n\n')
    assert code[1] == example
    assert len(example.splitlines()) <= 20


@pytest.mark.filterwarnings("ignore:get_parser.. is deprecated:DeprecationWarning")  # tyro's, by which --help is short
@pytest.mark.parametrize("line", all_commands())
def test_commands_are_taken_as_they_stand(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is parsed as the command would parse it, its configuration made and so checked; nothing is run."""
    name, *arguments = shlex.split(line, comments=True)[2:]
    shutil.copy(ROOT / "examples" / "own_conv.py", tmp_path / "my_conv.py")  # as CONTRIBUTING has it
    for folder in (ROOT / "examples", tmp_path):
        monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr("sys.argv", [f"{name.replace('.', '/')}.py", *arguments])
    module = importlib.import_module(name)
    start = re.search(r"^    run_command\((\w+), (\w+)\)", inspect.getsource(module), re.M)
    assert start is not None
    config, work = (getattr(module, found) for found in start.groups())
    if any(argument.startswith("--help") for argument in arguments):
        with pytest.raises(SystemExit) as stop:
            _parse(config, work.__doc__)
        assert not stop.value.code
    else:
        assert isinstance(_parse(config, work.__doc__), config)


def test_a_wrong_command_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = commands("```\npython -m hgg_pyg.train --model.variant \\\n    no_inter  # gone\n```\n")
    with pytest.raises(UserError, match="variant"):
        test_commands_are_taken_as_they_stand(line, tmp_path, monkeypatch)
