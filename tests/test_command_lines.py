"""The command lines of README, CONTRIBUTING and docs/ are taken as they stand: names and options that there are."""

import importlib
import inspect
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from hgg_pyg.runtime import _parse
from hgg_pyg.types import UserError

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


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
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{name}.__main__")
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
