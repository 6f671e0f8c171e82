"""Whatever is wrong on a command line is one line that names the option, what was expected and what was found."""

import pytest

from hgg_pyg.animate import AnimateConfig
from hgg_pyg.avatar.__main__ import AvatarConfig
from hgg_pyg.runtime import run_command
from hgg_pyg.synthetic import SynthesizeConfig
from hgg_pyg.training.run import TrainConfig

LINES = [
    (AnimateConfig, ["a", "--fps", "nan"], "--fps: expected a number from 0.1 to 240, found nan"),
    (AnimateConfig, ["a", "--fps", "x"], "--fps: expected a number, found 'x'"),
    (AnimateConfig, ["a", "--fps"], "--fps: expected a value, found none"),
    (AnimateConfig, ["a", "--size", "10"], "--size: expected INT INT, found '10'"),
    (AnimateConfig, ["a", "--size", "2", "2"], "--size: expected each at least 8, found (2, 2)"),
    (AnimateConfig, ["a", "--look-at"], "--look-at: expected a value, found none"),
    (AnimateConfig, ["a", "--turns", "3"], "--turns: expected --camera orbit with it, found another"),
    (AnimateConfig, ["a", "--motin", "x"], "--motin, x: expected options that there are, perhaps --motion"),
    (AnimateConfig, ["a", "b"], "b: expected options that there are, see python -m hgg_pyg.avatar --help"),
    (AnimateConfig, [], "missing: PATH file of an avatar, person.avatar (required)"),
    (AvatarConfig, ["d", "--image-size", "0"], "--image-size: expected at least 1, found 0"),
    (AvatarConfig, ["d", "--frames", "nan"], "--frames: expected an integer, found 'nan'"),
    (AvatarConfig, ["d", "--out", "x.ply"], "--out: expected a name that ends in .avatar, found x.ply"),
    (SynthesizeConfig, ["--out", "x", "--views", "1e9"], "--views: expected an integer, found '1e9'"),
    (SynthesizeConfig, ["--out", "x", "--views", "99999"], "--views: expected at most 10,000, found 99999"),
    (SynthesizeConfig, ["--out", "x", "--clothes", "no"], "--clothes: expected one of any, bodysuit, found 'no'"),
    (TrainConfig, ["--model.num-layers", "-1"], "--model.num-layers: expected at least 0, found -1"),
    (TrainConfig, ["--clip.target-views", "3"], "--clip.target-views: expected a multiple of target_poses 2, found 3"),
    (TrainConfig, ["--preset", "none"], "--preset: expected one of demo, "),
]


@pytest.mark.parametrize(("config", "words", "line"), LINES, ids=lambda value: value if isinstance(value, list) else "")
def test_a_wrong_command_line_is_one_line(monkeypatch, capsys, config, words, line):
    monkeypatch.setattr("sys.argv", ["hgg_pyg/avatar.py", *words])
    monkeypatch.setenv("COLUMNS", "40")
    with pytest.raises(SystemExit) as stop:
        run_command(config, lambda _: pytest.fail("a wrong value came through"))
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {line}")
    assert said.count("\n") == 1
