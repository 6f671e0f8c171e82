"""What the README says of the package's front door holds."""

import tempfile
from pathlib import Path

import pytest
import torch
from torch_geometric.nn import MessagePassing

import hgg_pyg
from benchmarks.render import RenderBenchmark
from benchmarks.render import main as benchmark_render
from hgg_pyg.__main__ import COMMANDS, backends, main
from hgg_pyg.attention import variants
from hgg_pyg.check import CheckConfig
from hgg_pyg.check import main as check
from hgg_pyg.runtime import remove_generated_code, run_command

ROOT = Path(__file__).parent.parent


def test_the_front_page_lists_every_command_and_backend(capsys, monkeypatch, tmp_path):
    (tmp_path / "smpl").mkdir()
    (tmp_path / "smpl" / "SMPL_NEUTRAL.npz").touch()
    monkeypatch.setenv("HGG_BODY_MODELS", str(tmp_path))
    main()
    shown = capsys.readouterr().out
    usable = {name: there for name, there, _ in backends()}
    assert usable["SMPL files"]
    assert usable["CUDA"] == torch.cuda.is_available()
    assert not usable["gsplat"] or torch.cuda.is_available()
    runnable = {path.stem for path in (ROOT / "hgg_pyg").glob("*.py") if "run_command(" in path.read_text()}
    runnable |= {path.parent.name for path in (ROOT / "hgg_pyg").glob("*/__main__.py")}
    assert {name for name, _ in COMMANDS} == runnable - {"runtime"}
    for name in (*usable, *runnable - {"runtime"}, *variants()):
        assert name in shown


def test_everything_offered_is_there_under_its_own_name():
    for name in hgg_pyg.__all__:
        offered = getattr(hgg_pyg, name)
        assert offered.__name__ == name
        assert offered.__module__.split(".")[0] in ("hgg_pyg", "graphs")
    assert set(hgg_pyg.__all__) < set(dir(hgg_pyg))
    with pytest.raises(AttributeError, match="module 'hgg_pyg' has no attribute 'GraphBlok'"):
        hgg_pyg.GraphBlok  # noqa: B018


def test_help_ends_well(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["render.py", "--help"])
    with pytest.raises(SystemExit) as stop:
        run_command(RenderBenchmark, benchmark_render)
    assert stop.value.code == 0
    assert "--gaussians" in capsys.readouterr().out


def test_a_path_that_the_system_refuses_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["check.py", f"/{'a' * 300}"])
    with pytest.raises(SystemExit) as stop:
        run_command(CheckConfig, check)
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"error: /{'a' * 300}: File name too long\n"


def test_no_generated_code_is_left_in_the_folder_of_temporary_files(monkeypatch, tmp_path):
    class NewConv(MessagePassing):
        def message(self, x_j):
            return x_j

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "another.py").touch()
    NewConv()
    assert len(list(tmp_path.iterdir())) > 1
    remove_generated_code()
    assert [path.name for path in tmp_path.iterdir()] == ["another.py"]
