"""`python -m hgg_pyg.evaluate` on tiny captures: the same numbers by every way, gaps that are said, a lone page."""

import base64
import csv
import io
import json
import re
import shutil
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hgg_pyg.backbones import make_backbone
from hgg_pyg.body import load_body
from hgg_pyg.config import ClipConfig
from hgg_pyg.evaluate import EvaluateConfig, main
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.network import HGGNet
from hgg_pyg.refine import RefineConfig
from hgg_pyg.runtime import run_command
from hgg_pyg.training.inputs import inputs_of, write_inputs
from hgg_pyg.training.run import MODEL_FOLDER, TrainConfig, create_run
from hgg_pyg.training.trained import open_run
from hgg_pyg.types import UserError

BOTH = ("novel view", "novel pose")


def make_run(captures: Path, out: Path, name: str, seed: int = 0, frames: int = 2, views: int = 4) -> Path:
    """A run whose model was never trained, but changes what it is given."""
    config = TrainConfig(
        data=captures,
        name=name,
        out=out,
        cache=out / "cache",
        model=ModelConfig(num_layers=1, hidden_channels=8, heads=2, feedback=2),
        clip=ClipConfig(frames=frames, input_views=views),
    )
    create_run(config)
    features = make_backbone(config.backbone).feature_dim
    torch.manual_seed(seed)
    model = HGGNet(replace(config.model, in_channels=features, num_vertices=load_body().num_vertices))
    torch.nn.init.normal_(model.head[-1].weight, std=0.3)
    model.save(config.folder / MODEL_FOLDER)
    return config.folder


@pytest.fixture(scope="module")
def run(tiny_captures, tmp_path_factory) -> Path:
    return make_run(tiny_captures, tmp_path_factory.mktemp("runs"), "first")


@pytest.fixture(scope="module")
def saved(run, tmp_path_factory):
    """One evaluation with everything: its report, its folder and the images that it saved."""
    out = tmp_path_factory.mktemp("evaluated")
    Image.new("RGB", (30, 20), "red").save(run / "curves.png")
    (run / "inspect").mkdir()
    Image.new("RGB", (30, 20), "blue").save(run / "inspect" / "01_<bound>.png")
    report = main(EvaluateConfig(run, out=out, save_images=out / "images", shown=2))
    return report, out


def numbers(report, method: str) -> np.ndarray:
    return np.array([[i.psnr, i.ssim, i.psnr_mask, i.psnr_box] for i in report.images if i.method == method], float)


def test_direct_binding_does_not_depend_on_the_weights(run, saved, tiny_captures, tmp_path):
    other = make_run(tiny_captures, tmp_path, "second", seed=1)
    report = main(EvaluateConfig(run, also=(other,), out=tmp_path / "out", shown=0))
    first, _ = saved
    assert np.array_equal(numbers(first, "direct binding"), numbers(report, "direct binding"))
    assert np.array_equal(numbers(first, "ours"), numbers(report, "ours"))
    assert report.methods == ("direct binding", "ours", "second")
    assert np.abs(numbers(report, "second") - numbers(report, "ours")).max() > 0.1
    swapped = main(EvaluateConfig(other, out=tmp_path / "swapped", shown=0))
    assert np.array_equal(numbers(swapped, "direct binding"), numbers(report, "direct binding"))
    assert np.array_equal(numbers(swapped, "ours"), numbers(report, "second"))


def test_a_fit_after_the_forward_pass_is_a_method_of_its_own(run, saved, tmp_path, monkeypatch):
    fifteen = partial(RefineConfig, steps=15)  # not by the clock: seconds hold few steps on a busy machine
    monkeypatch.setattr("hgg_pyg.evaluate.RefineConfig", lambda seconds: fifteen(seconds=1000 * seconds))
    report = main(EvaluateConfig(run, refine=1.5, out=tmp_path / "out", shown=0))
    assert report.methods == ("direct binding", "ours", "ours + 1.5 s")
    assert np.array_equal(numbers(saved[0], "ours"), numbers(report, "ours"))
    assert numbers(report, "ours + 1.5 s")[:, 0].mean() > numbers(report, "ours")[:, 0].mean()


def test_rows_of_one_camera_stand_beside_on_the_same_images(run, saved, tiny_captures, tmp_path):
    """The single half of Table 1: what the run with one camera scores alone, on the images of the other."""
    single = make_run(tiny_captures, tmp_path, "single", views=1)
    report = main(EvaluateConfig(run, single=single, optimised=0.05, out=tmp_path / "out", shown=0))
    ours = ("direct binding, 1 camera", "ours, 1 camera", "optimised 0.05 s, 1 camera")
    assert report.methods == ("direct binding", "ours", "optimised 0.05 s", *ours)
    for method in ("direct binding", "ours"):
        assert np.array_equal(numbers(report, method), numbers(saved[0], method))
    alone = main(EvaluateConfig(single, out=tmp_path / "alone", shown=0))
    found = {(i.method, i.subject, i.task, i.camera, i.frame): i.psnr for i in alone.images}
    for image in report.images:
        name = image.method.removesuffix(", 1 camera")
        if name != image.method and not name.startswith("optimised"):
            assert image.psnr == found[name, image.subject, image.task, image.camera, image.frame]
    text = (tmp_path / "out" / "table.md").read_text()
    assert "one camera, of other data (MVHumanNet)" in text
    assert "ours 23.112 / 21.857" in text
    assert "ours by diffusion: left out" in text


def test_mistakes_with_rows_of_one_camera(run, tiny_captures, tmp_path):
    with pytest.raises(UserError, match=r"--single .*: expected a run with --clip\.input-views 1, found one with 4"):
        main(EvaluateConfig(run, single=run, out=tmp_path))
    with pytest.raises(ValueError, match="single: expected without pose_noise and mend_test_poses"):
        EvaluateConfig(run, single=run, pose_noise=3.0)
    single = make_run(tiny_captures, tmp_path, "single", views=1)
    path = single / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"crop": True}))
    with pytest.raises(UserError, match=r"crop: expected False, as .* has it, found True"):
        main(EvaluateConfig(run, single=single, out=tmp_path))


def test_a_fit_from_nothing_is_a_method_too(run, tmp_path):
    report = main(EvaluateConfig(run, optimised=1.0, out=tmp_path / "out", shown=0, save_images=tmp_path / "images"))
    assert report.methods == ("direct binding", "ours", "optimised 1 s")
    assert np.isfinite(numbers(report, "optimised 1 s")[:, 0]).all()
    assert any((tmp_path / "images").glob("optimised*/*/*/*/*.png"))


def test_saved_images_read_back_score_the_same(run, saved, tmp_path):
    first, out = saved
    methods = (f"copy={out / 'images' / 'ours'}", f"truth={out / 'images' / 'ground_truth'}")
    report = main(EvaluateConfig(run, method=methods, out=tmp_path / "out", regions=True))
    ours, copy = numbers(report, "ours"), numbers(report, "copy")
    assert len(copy) == len(ours) == 2 * 2 + 6  # frames x held-out cameras, then one frame from all
    assert np.abs(ours - copy)[:, [0, 2, 3]].max() < 0.05
    assert np.abs(ours - copy)[:, 1].max() < 1e-3
    assert numbers(report, "truth")[:, 0].min() > 45  # eight bits
    assert {timing.method for timing in report.timings} == {"direct binding", "ours"}
    targets = json.loads((out / "images" / "targets.json").read_text())["targets"]
    assert len(targets) == len(numbers(first, "ours"))
    assert all((out / "images" / "ours" / target["file"]).is_file() for target in targets)
    assert np.shape([target["K"] for target in targets]) == (len(targets), 3, 3)


def test_files_agree_and_hold_no_nan(saved):
    report, out = saved
    assert {path.name for path in out.iterdir()} == {
        *("metrics.json", "scores.csv", "table.md", "sheet.png", "report.html", "images")
    }
    metrics = json.loads((out / "metrics.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    lines = (out / "scores.csv").read_text().splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert len(rows) == len(report.images)
    for task in BOTH:
        for method in report.methods:
            own = [row for row in rows if (row["task"], row["method"]) == (task, method)]
            assert all(row["lpips_vgg"] == "" for row in own)
            for name in ("psnr", "ssim", "psnr_mask", "ssim_box"):
                mean = np.mean([float(row[name]) for row in own])  # one test subject
                assert metrics["summary"][task][method][name] == pytest.approx(mean, abs=1e-5)
                assert report.mean(task, method, name) == pytest.approx(mean, abs=1e-5)
            assert metrics["spread"][task][method]["psnr"] is None
    assert "lpips_vgg" not in metrics["summary"]["novel view"]["ours"]
    assert metrics["lpips"] == "AlexNet not computed, VGG-16 not computed"
    assert {"image", "mask", "box"} == set(metrics["regions"])
    assert sum(row["images"] for row in metrics["by_view"]) == sum(row["images"] for row in metrics["by_frame"])
    assert {row["after"] for row in rows if row["task"] == "novel pose"} == {"1"}
    assert "no weights" in (out / "table.md").read_text()
    assert "mirrored" in lines[1]


def test_the_page_stands_alone(saved):
    _, out = saved
    page = (out / "report.html").read_text()
    assert not re.search(r"https?:|<link|<script|@import|url\(", page)
    sources = re.findall(r'src="([^"]*)" alt="([^"]*)"', page)
    assert len(sources) == page.count("<img") > 20
    for source, _ in sources:
        assert source.startswith("data:image/")
        with Image.open(io.BytesIO(base64.b64decode(source.split(",")[1], validate=True))) as image:
            image.load()
    titles = [title for _, title in sources]
    assert {"training curves", "PSNR over frames", "scale of the error maps", "01_&lt;bound&gt;"} <= set(titles)
    assert sum(title.startswith("ours, ") for title in titles) == 2 * 3 * 2  # tasks, kinds, shown
    assert page.index("worst of ours") < page.index("gains least") < page.index("evenly spaced")
    assert len(page) < 3e6


def test_missing_images_are_counted_and_left_out_for_all(run, saved, tmp_path):
    first, out = saved
    folder = tmp_path / "GART"
    shutil.copytree(out / "images" / "ours", folder)
    shutil.rmtree(folder / "subject002" / "novel_pose")
    lost = sorted(folder.rglob("*.png"))[:3]
    for path in lost:
        path.unlink()
    wanted = len(numbers(first, "ours"))
    with pytest.raises(
        UserError, match=rf"--method GART: 3 of {wanted} images are missing, .*{lost[0].name} the first"
    ):
        main(EvaluateConfig(run, method=(f"GART={folder}",), out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    config = EvaluateConfig(run, method=(f"GART={folder}",), allow_missing=True, out=tmp_path / "out", shown=1)
    report = main(config)
    assert len(numbers(report, "ours")) == len(numbers(report, "direct binding")) == wanted - 3
    assert np.isnan(report.mean("novel pose", "GART", "psnr"))
    text = " ".join(report.notes)
    assert "3 of" in text
    assert "GART has no image of novel pose" in text


def test_tasks_without_images_are_left_out_and_named(tiny_captures, tmp_path, capsys):
    captures = tmp_path / "captures"
    shutil.copytree(tiny_captures, captures)
    for path in captures.glob("*/calibration_full.json"):
        cameras = json.loads(path.read_text())
        path.write_text(json.dumps({name: cameras[name] for name in sorted(cameras)[:4]}))
    for path in captures.glob("*/cam*/**/*.jpg"):
        if path.stem != "00000000":
            path.unlink()
    folder = make_run(captures, tmp_path, "bare", frames=1)
    report = main(EvaluateConfig(folder))
    metrics = json.loads((folder / "metrics.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert report.tasks == ()
    assert metrics["summary"] == {}
    shown = capsys.readouterr().out
    assert "novel view is left out: no test subject has cameras that are not input" in shown
    assert "novel pose is left out: no test subject has frames after the input range" in shown
    assert "nan" not in shown
    assert "nothing was compared" in shown
    assert (folder / "report.html").is_file()


def test_lpips_is_computed_where_the_weights_are(run, tmp_path, monkeypatch):
    from hgg_pyg.evaluation.lpips import _STAGES, BACKBONE_FILES

    weights = {}
    for i, shape in enumerate(shape for _, convolutions in _STAGES["alex"] for shape in convolutions):
        weights[f"features.{i}.weight"] = torch.randn(shape[1], shape[0], shape[2], shape[2]) / shape[1] ** 0.5
        weights[f"features.{i}.bias"] = torch.zeros(shape[1])
    torch.save(weights, tmp_path / BACKBONE_FILES["alex"])
    monkeypatch.setenv("HGG_LPIPS", str(tmp_path))
    report = main(EvaluateConfig(run, views=2, out=tmp_path / "out", shown=0))
    assert report.mean("novel view", "ours", "lpips_alex") > 0
    assert np.isnan(report.mean("novel view", "ours", "lpips_vgg"))
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["lpips"] == "AlexNet computed, VGG-16 not computed"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "GART=/no/such"], "--method GART=/no/such: expected a folder of images, found nothing"),
        (["--method", "ours=/no/such"], "expected a name of its own, found one that is taken"),
        (["--method", "GART"], "--method GART: expected NAME=FOLDER"),
        (["--views", "0"], "--views: expected at least 1, found 0"),
        (["--also", "/no/such"], "/no/such/config.json: expected the configuration of a run, found nothing"),
        (["--data", "/no/such"], "/no/such: expected a folder of captures"),
    ],
)
def test_wrong_inputs_end_in_one_line(run, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(sys, "argv", ["evaluate", str(run), "--out", str(tmp_path / "out"), *arguments])
    with pytest.raises(SystemExit) as stop:
        run_command(EvaluateConfig, main)
    assert stop.value.code == 2
    text = capsys.readouterr().err
    assert message in text
    assert "Traceback" not in text
    assert sum(line.startswith("error: ") for line in text.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_run_without_a_model_or_of_another_set_up_is_refused(run, tiny_captures, tmp_path):
    other = make_run(tiny_captures, tmp_path, "other")
    config = json.loads((other / "config.json").read_text())
    config["backbone"]["surface"]["stride"] = 2
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"--also .*: backbone\.surface\.stride: expected 1, as .* has it, found 2"):
        main(EvaluateConfig(run, also=(other,)))
    shutil.rmtree(other / MODEL_FOLDER)
    with pytest.raises(UserError, match=r"model\.json: expected a saved model, found nothing"):
        main(EvaluateConfig(other))


@pytest.mark.parametrize(
    ("names", "value", "message"),
    [
        (["data"], "gone", "gone: expected what {run}/config.json names as data, found nothing in {here}: --data says"),
        (["data"], "/gone", "/gone: expected what {run}/config.json names as data, found nothing: --data says where"),
        (["body"], "/gone.npz", "/gone.npz: expected what {run}/config.json names as body, found nothing: --body says"),
        (
            ["backbone", "lgm", "checkpoint"],
            "/gone.safetensors",
            "names as backbone.lgm.checkpoint, found nothing: train --resume with it keeps another place",
        ),
    ],
)
def test_what_is_no_longer_where_a_run_found_it_is_named(run, tmp_path, names, value, message):
    moved = shutil.copytree(run, tmp_path / "moved")
    content = json.loads((moved / "config.json").read_text())
    part = content
    if "lgm" in names:
        content["backbone"]["name"] = "lgm"
    for name in names[:-1]:
        part = part[name]
    part[names[-1]] = value
    (moved / "config.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=re.escape(message.format(run=moved, here=Path.cwd()))):
        open_run(moved)


def test_a_run_is_opened_where_its_files_are_now(run, tiny_captures, tmp_path, caplog):
    moved = shutil.copytree(run, tmp_path / "moved")
    content = json.loads((moved / "config.json").read_text())
    content |= {"data": "/gone", "cache": "/gone"}
    (moved / "config.json").write_text(json.dumps(content))
    opened = open_run(moved, tiny_captures, cache=tmp_path / "cache")
    assert [source.cache for source in opened.test_sources()] == [tmp_path / "cache"]
    assert not caplog.messages
    write_inputs(moved, inputs_of(opened.captures, opened.body, False, "another network"))
    caplog.set_level("INFO", "hgg_pyg")
    open_run(moved, tiny_captures)
    gone, other = caplog.messages
    assert gone == "/gone: no such folder: per-frame Gaussians are computed anew; --cache names another"
    assert "inputs.json: network: the run was trained on another network, found " in other
