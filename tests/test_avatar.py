"""Captures to avatars: what is in the file is what the network gave, in every layout and with every choice."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hgg_pyg import Avatar
from hgg_pyg.avatar.__main__ import AvatarConfig, main
from hgg_pyg.avatar.upright import up_of
from hgg_pyg.data.clip_input import graph_of
from hgg_pyg.maker_choice import MakerOptions, open_maker
from hgg_pyg.render import render
from hgg_pyg.runtime import run_command
from hgg_pyg.types import Cameras
from tests.test_inspect import make_run


@pytest.fixture(scope="module")
def subject(tiny_captures: Path) -> Path:
    return tiny_captures / "subject002"


@pytest.fixture(scope="module")
def direct(subject: Path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("avatars") / "direct.avatar"
    return main(AvatarConfig(capture=subject, out=out, direct=True, fps=6))


def looking_at(avatar: Avatar) -> Cameras:
    """One camera, 3 metres in front."""
    viewmat = torch.diag(torch.tensor([1.0, -1, -1, 1]))
    viewmat[:3, 3] = torch.tensor([0, 0, 3.0]) - viewmat[:3, :3] @ avatar.gaussians.means.mean(0)
    return Cameras(viewmat[None], torch.tensor([[[60.0, 0, 32], [0, 60, 32], [0, 0, 1]]]), 64, 64)


def test_the_file_says_where_it_comes_from_and_how_the_person_moved(direct: Path, subject: Path) -> None:
    avatar = Avatar.load(direct)
    assert avatar.about["capture"] == "subject002"
    assert avatar.about["weights"] == "direct binding"
    assert avatar.about["images"] == "32x32 pixels"
    assert "CC0" in avatar.about["licence"]
    (motion,) = avatar.motions
    assert (motion.name, motion.fps, len(motion)) == ("captured", 6, 4)
    assert up_of(motion.global_orient).tolist() == [0, 1, 0]
    assert 1 < avatar.seen.distance < 5
    assert 20 < avatar.seen.focal < 100  # of an image of 32 pixels


def test_only_what_is_never_drawn_is_left_out(subject: Path) -> None:
    maker, source = open_maker(subject, MakerOptions(direct=True))
    frames = (0, 3)
    bound = maker.model.avatar(graph_of(source, frames, maker.spec, maker.model))
    kept = maker.bound(source, frames)
    assert 0 < len(kept.gaussians) < len(bound.gaussians)
    cameras = source.capture.views(3, [0, 2])
    pose = source.capture.poses[[3]]
    whole, less = (render(each.repose(source.body, pose)[0], cameras).rgb for each in (bound, kept))
    assert torch.equal(whole, less)


def test_a_run_changes_what_direct_binding_gives(
    direct: Path, subject: Path, tiny_captures: Path, body, tmp_path: Path
) -> None:
    run = make_run(tiny_captures, tmp_path, body)
    main(AvatarConfig(capture=subject, out=tmp_path / "ours.avatar", run=run))
    ours, plain = Avatar.load(tmp_path / "ours.avatar"), Avatar.load(direct)
    assert ours.about["weights"] == "run run"
    difference = (render(ours.gaussians, looking_at(plain)).rgb - render(plain.gaussians, looking_at(plain)).rgb).abs()
    assert difference.max() > 0.01


def test_it_is_the_capture_in_its_own_motion(direct: Path, subject: Path) -> None:
    """The avatar in the world of its motion, seen through a camera that came along, is what the capture shows."""
    avatar = Avatar.load(direct)
    _, source = open_maker(subject, MakerOptions(direct=True))
    capture, motion = source.capture, avatar.motions[0]
    posed = avatar.repose(capture.poses)
    cameras = capture.views(2, [1])
    world = motion.from_world
    assert world is not None
    moved = replace(cameras, viewmats=cameras.viewmats @ torch.linalg.inv(world))
    expected = render(posed[2], cameras).rgb
    found = render(avatar.repose(motion.pose(avatar.betas))[2], moved).rgb
    assert (expected < 0.9).any()
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--direct"], "nowhere: expected a folder of captures, found nothing"),
        (["{captures}", "--direct"], "--subject: expected one of {captures} (subject000, subject001, subject002)"),
        (["{captures}", "--direct", "--subject", "me"], "found 'me'"),
        (["{subject}", "--direct", "--out", "a.txt"], "out: expected a name that ends in .avatar, found a.txt"),
        (["{subject}", "--direct", "--out", "{captures}/x.avatar/"], "--out {captures}/x.avatar: expected a file"),
        (["{subject}", "--direct", "--views", "9"], "--views: expected at most 6, the cameras of {subject}, found 9"),
        (["{subject}", "--direct", "--frames", "0"], "expected at least 1, found 0"),
        (["{subject}", "--direct", "--fps", "-1"], "--fps: expected at least 0.1, found -1.0"),
        (["{subject}", "--direct", "--run", "r"], "direct: expected it without --run"),
        (["{subject}", "--run", "nowhere"], "nowhere/config.json: expected the configuration of a run, found nothing"),
        (["{subject}", "--direct", "--body", "nowhere"], "nowhere: "),
    ],
)
def test_wrong_inputs_end_in_one_line(
    arguments: list[str], message: str, subject: Path, tiny_captures: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    (tiny_captures / "x.avatar").mkdir(exist_ok=True)
    places = {"captures": tiny_captures, "subject": subject}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["hgg_pyg/avatar/__main__.py", *(a.format(**places) for a in arguments)])
    with pytest.raises(SystemExit) as stop:
        run_command(AvatarConfig, main)
    (tiny_captures / "x.avatar").rmdir()
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert stop.value.code == 2
    assert message.format(**places) in said
    assert not list(tmp_path.iterdir())


def test_an_avatar_is_refined_if_asked(subject: Path, direct: Path, tmp_path: Path, capsys) -> None:
    out = main(AvatarConfig(capture=subject, out=tmp_path / "refined.avatar", direct=True, fps=6, refine=1.5))
    refined, before = Avatar.load(out), Avatar.load(direct)
    assert re.fullmatch(r"\d+ steps in \d+\.\d s, out of time", refined.about["refined"])
    assert "refined" not in before.about
    assert not torch.equal(refined.gaussians.colors, before.gaussians.colors)
    assert torch.equal(refined.motions[0].global_orient, before.motions[0].global_orient)
    assert "dB (direct binding, fitted to them for 1.5 s), direct binding" in capsys.readouterr().out
