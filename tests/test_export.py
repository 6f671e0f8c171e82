"""The command that writes an avatar for other programs."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from hgg_pyg.avatar import Avatar
from hgg_pyg.avatar.exporters import MovingExporter, StillExporter, exporters
from hgg_pyg.avatar.exporters.glb_reader import read_glb
from hgg_pyg.body import BodyModel
from hgg_pyg.export import ExportConfig, main
from hgg_pyg.io.splats import read_ply
from hgg_pyg.runtime import run_command
from hgg_pyg.types import UserError
from tests.avatar.avatars import small_avatar, some_motion


@pytest.fixture(scope="module")
def avatar(body: BodyModel) -> Avatar:
    own = small_avatar(body, 100)
    return replace(own, motions=(*own.motions, some_motion(24, 12, "dance")))


@pytest.fixture
def saved(avatar: Avatar, tmp_path: Path) -> Path:
    path = tmp_path / "person.avatar"
    avatar.save(path)
    return path


def pose_of(avatar: Avatar, name: str, frame: int) -> torch.Tensor:
    motion = avatar.motion(name)
    assert motion is not None
    return avatar.repose(motion.pose(avatar.betas)[[frame]]).means[0]


def test_the_rest_pose_goes_beside_the_avatar(avatar: Avatar, saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(ExportConfig(saved, "ply"))
    assert torch.equal(read_ply(saved.with_suffix(".ply")).means, avatar.gaussians.means)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"{saved.with_suffix('.ply')}: 100 Gaussians, ")
    assert said[1:] == ["licence: none"]


def test_one_frame(avatar: Avatar, saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "a.ply"
    main(ExportConfig(saved, "ply", out, ("captured",), frame=3))
    torch.testing.assert_close(read_ply(out).means, pose_of(avatar, "captured", 3), rtol=0, atol=1e-6)


def test_a_file_for_every_frame(avatar: Avatar, saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "frames"
    for _ in range(2):  # the same again replaces them
        main(ExportConfig(saved, "ply", out, ("captured",)))
    assert sorted(path.name for path in out.iterdir()) == [f"{number:05d}.ply" for number in range(5)]
    for frame in range(5):
        found = read_ply(out / f"{frame:05d}.ply").means
        torch.testing.assert_close(found, pose_of(avatar, "captured", frame), rtol=0, atol=1e-6)


def test_stopped_between_files_it_leaves_nothing(saved: Path, tmp_path: Path, monkeypatch) -> None:
    exporter, written = exporters()["splat"], []

    def stop(path: Path, *rest: Any) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)
        exporter.write(path, *rest)

    monkeypatch.setattr("hgg_pyg.export.find_exporter", lambda name: replace(exporter, write=stop))
    (tmp_path / "old").mkdir()
    (tmp_path / "old/00001.splat").write_text("before")
    for folder in (tmp_path / "old", tmp_path / "new"):
        written.clear()
        with pytest.raises(KeyboardInterrupt):
            main(ExportConfig(saved, "splat", folder, motion=("captured",)))
    assert not (tmp_path / "new").exists()
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["00001.splat"]
    assert (tmp_path / "old/00001.splat").read_text() == "before"


def test_names_that_lead_elsewhere_and_that_are_no_letters(avatar: Avatar, tmp_path: Path, monkeypatch) -> None:
    odd = "\udce9"  # a byte of a file's name that is not UTF-8
    motion = replace(avatar.motions[0], name="../../up")
    other = replace(avatar.motions[0], name=odd)
    replace(avatar, motions=(motion, other), about={odd: odd, "licence": odd}).save(path := tmp_path / "a.avatar")
    with pytest.raises(UserError, match=r"--out: expected it, since the results cannot be called 'a_\.\./\.\./up'"):
        main(ExportConfig(path, "ply", motion=("../../up",)))
    for name in ("glb", "usd", "ply"):
        main(ExportConfig(path, name))
    assert b'"licence":"?"' in path.with_suffix(".glb").read_bytes()


def test_files_of_a_longer_motion_are_not_mixed_in(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "frames"
    main(ExportConfig(saved, "splat", out, ("dance",)))
    with pytest.raises(UserError, match=r"expected room for 5 files, found 00011\.splat of a longer motion"):
        main(ExportConfig(saved, "splat", out, ("captured",)))


def test_a_folder_of_other_things_is_left_alone(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "capture").mkdir()
    (tmp_path / "capture" / "calibration.json").touch()
    with pytest.raises(UserError, match=r"or one of numbered \.ply files, found calibration\.json in it"):
        main(ExportConfig(saved, "ply", tmp_path / "capture", ("captured",)))
    assert [path.name for path in (tmp_path / "capture").iterdir()] == ["calibration.json"]


def test_an_avatar_of_another_ending_is_not_written_over(saved: Path) -> None:
    before = saved.rename(saved.with_suffix(".ply")).read_bytes()
    with pytest.raises(UserError, match="expected another file than the avatar's, found the same"):
        main(ExportConfig(saved.with_suffix(".ply"), "ply"))
    assert saved.with_suffix(".ply").read_bytes() == before


@pytest.mark.parametrize(("fps", "files"), [(10, 5), (5, 3), (25, 11)])
def test_files_per_second(avatar: Avatar, saved: Path, tmp_path: Path, fps: float, files: int) -> None:
    """Of five frames at ten a second, the first and the last among them."""
    main(ExportConfig(saved, "splat", tmp_path / "frames", ("captured",), fps=fps))
    assert len(list((tmp_path / "frames").iterdir())) == files
    main(ExportConfig(saved, "ply", motion=("captured",), fps=fps, frame=files - 1))
    found = read_ply(saved.with_suffix(".ply")).means
    torch.testing.assert_close(found, pose_of(avatar, "captured", 4), rtol=0, atol=1e-5)


def test_y_down_is_half_a_turn(avatar: Avatar, saved: Path) -> None:
    main(ExportConfig(saved, "ply", y_down=True))
    found, own = read_ply(saved.with_suffix(".ply")), avatar.gaussians
    assert torch.equal(found.means, own.means * torch.tensor([1.0, -1, -1]))
    w, x, y, z = normalize(own.quats, dim=1).unbind(1)
    turned = torch.stack([-x, w, -z, y], 1)
    assert (1 - (found.quats * turned).sum(1).abs()).max() < 1e-6


def test_a_glb_has_every_motion_unless_told_otherwise(saved: Path) -> None:
    main(ExportConfig(saved, "glb"))
    assert list(read_glb(saved.with_suffix(".glb")).clips) == ["captured", "dance", "walk", "wave", "turntable"]
    main(ExportConfig(saved, "glb", motion=("dance",), precise=True))
    assert list(read_glb(saved.with_suffix(".glb")).clips) == ["dance"]


def test_our_own_motions_end_where_they_begin(saved: Path) -> None:
    main(ExportConfig(saved, "glb", motion=("walk", "turntable", "captured"), fps=12))
    file = read_glb(saved.with_suffix(".glb"))
    for name, seconds in (("walk", 1.0), ("turntable", 6.0)):
        assert file.clips[name].duration == pytest.approx(seconds)
        ends = (file.skin_matrices(name, time) for time in (0, seconds))
        np.testing.assert_allclose(*ends, atol=1e-5)
    assert file.clips["captured"].duration == pytest.approx(4 / 12)  # no frame of its own is left after it


def test_an_exporter_of_yours(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine: Any = ModuleType("my_exporter")
    mine.TEXT = StillExporter(
        name="text",
        summary="how many",
        suffix=".txt",
        write=lambda path, gaussians, _: path.write_text(f"{len(gaussians)}"),
    )
    mine.OTHER = 3
    monkeypatch.setitem(sys.modules, "my_exporter", mine)
    main(ExportConfig(saved, "my_exporter:TEXT"))
    assert saved.with_suffix(".txt").read_text() == "100"
    for name, said in (("my_exporter:OTHER", "to be an exporter, found int"), ("no_such:X", "cannot be imported")):
        with pytest.raises(UserError, match=said):
            main(ExportConfig(saved, name))


def test_every_exporter_is_whole() -> None:
    for name, exporter in exporters().items():
        assert isinstance(exporter, StillExporter | MovingExporter)
        assert exporter.name == name
        assert exporter.suffix == f".{name}"
    assert {"ply", "splat", "spz", "usd", "glb"} <= set(exporters())


WRONG = {
    "--to obj": "--to: expected one of glb, ",
    "--to ply --motion run": "motion run: expected one of walk",
    "--to ply --motion captured --frame 5": "--frame: expected 0 to 4, the frames of captured; found 5",
    "--to ply --motion captured --frame -1": "--frame: expected at least 0, found -1",
    "--to ply --frame 1": "--frame: expected the --motion that it is of, found none",
    "--to ply --motion captured dance": "--motion: expected one for ply, found 2",
    "--to ply --fps 10": "--fps: expected the --motion that it is of, found none",
    "--to ply --motion walk --fps 0": "--fps: expected at least 0.1, found 0",
    "--to ply --precise": "--precise: ply is written in one way, and does not take it",
    "--to glb --frame 1": "--frame: glb holds whole motions with y up, and does not take it",
    "--to glb --y-down": "--y-down: glb holds whole motions with y up, and does not take it",
    "--to usd --motion dance": "--to usd: this format is static: expected --frame with --motion, .*move: glb",
    "--to ply --out HERE": "--out HERE: expected a file, found a folder",
    "--to ply --out HERE/a.glb": "--out HERE/a.glb: expected a name that ends in .ply, found .glb",
    "--to ply --out HERE/person.avatar/a.ply": "--out HERE/person.avatar: expected a folder that can be written",
    "--to ply --motion dance --out HERE/person.avatar": "--out HERE/person.avatar: expected a folder, found a file",
}


@pytest.mark.parametrize("options", WRONG)
def test_what_is_wrong_is_one_line(
    options: str, saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = str(saved.parent)
    before = sorted(saved.parent.iterdir())
    monkeypatch.setattr("sys.argv", ["export.py", str(saved), *options.replace("HERE", here).split()])
    with pytest.raises(SystemExit) as stop:
        run_command(ExportConfig, main)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert re.match(f"error: {WRONG[options].replace('HERE', re.escape(here))}", said), said
    assert sorted(saved.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "expected an avatar file, found nothing to read"),
        (lambda path: path.write_bytes(b"ply\n" * 100), "safetensors"),
        (lambda path: path.mkdir(), "expected an avatar file, found a folder; python -m hgg_pyg.avatar makes one of a"),
    ],
)
def test_what_is_no_avatar_is_one_line(tmp_path: Path, make: Any, said: str) -> None:
    make(tmp_path / "a.avatar")
    with pytest.raises(UserError, match=said):
        main(ExportConfig(tmp_path / "a.avatar", "ply"))
    assert not (tmp_path / "a.ply").exists()


def test_scales_of_0_are_one_line(avatar: Avatar, tmp_path: Path) -> None:
    flat = replace(avatar.gaussians, scales=avatar.gaussians.scales * torch.tensor([1.0, 1, 0]))
    replace(avatar, gaussians=flat).save(tmp_path / "a.avatar")
    with pytest.raises(UserError, match=r"a\.avatar: scales: expected numbers from 1\.17549e-38 to 1e\+09, found 0"):
        main(ExportConfig(tmp_path / "a.avatar", "ply"))


def test_a_missing_library_is_named_with_what_installs_it(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--to usd: expected usd-core, found none: pip install usd-core$"):
        main(ExportConfig(saved, "usd"))


def test_a_full_or_forbidden_disk_leaves_nothing(saved: Path) -> None:
    with pytest.raises(UserError, match="/proc: expected a folder that can be written"):
        main(ExportConfig(saved, "ply", Path("/proc/a.ply")))
