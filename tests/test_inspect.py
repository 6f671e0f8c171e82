"""Looking into a network: its attention is what the layers compute, and its changes are those of the read-out."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from matplotlib.colors import Normalize
from PIL import Image

from graphs import BINDS, NEAR, GraphSpec
from hgg_pyg import inspect as inspect_command
from hgg_pyg.backbones import make_backbone
from hgg_pyg.body import BodyModel
from hgg_pyg.body.open_smplx import open_smplx
from hgg_pyg.config import ClipConfig, config_from_json
from hgg_pyg.data.clips import clip_graph
from hgg_pyg.evaluation.inspection import (
    PAGES,
    Attention,
    Change,
    attention_of,
    findings_of,
    frame_shares,
    hop_distances,
    mean_of_sources,
    read_out_changes,
    relative_entropy,
    rows_of,
    save_pages,
    table,
)
from hgg_pyg.evaluation.inspection.body_map import NOTHING, BodyMap
from hgg_pyg.inspect import InspectConfig
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.direct_binding import DirectBinding
from hgg_pyg.model.network import HGGNet
from hgg_pyg.runtime import run_command
from hgg_pyg.synthetic import SynthesizeConfig
from hgg_pyg.training.run import MODEL_FOLDER, TrainConfig, create_run
from hgg_pyg.training.trained import load_subject
from tests.captures import make_captures

FEATURES = 6


@pytest.fixture(scope="module")
def graph(body, make_pose, make_frames):
    """Three frames of different numbers of Gaussians; most vertices have none."""
    pose = make_pose(3)
    return clip_graph(
        make_frames(pose, [900, 500, 700], FEATURES), body.pose(pose), body.faces, pose.betas, GraphSpec(readout_k=2)
    )


def make_model(body, seed: int = 0, **settings) -> HGGNet:
    """A network with weights drawn at random, the head's last projection too, as training leaves them."""
    torch.manual_seed(seed)
    settings = {"num_layers": 2, "hidden_channels": 8, "heads": 2, **settings}
    model = HGGNet(ModelConfig(in_channels=FEATURES, num_vertices=body.num_vertices, **settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return model


def some_attention(weights: list[list[float]]) -> Attention:
    """Weights by target, one token and head."""
    target = torch.tensor([n for n, row in enumerate(weights) for _ in row])
    flat = torch.tensor([w for row in weights for w in row])
    return Attention(1, torch.arange(len(flat)), target, flat[:, None, None], len(weights))


@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_weights_are_the_plain_formula_s(body, graph, tokens, norm):
    model = make_model(body, num_tokens=tokens, norm=norm)
    layers = attention_of(model, graph)
    assert [layer.block for layer in layers.intra] == [layer.block for layer in layers.inter] == [1, 2]

    # The first block by hand, up to its inter layer: what a vertex's query is there, and whom it attends to how much.
    x, (gaussian, vertex) = graph["gaussian"].x, graph[BINDS].edge_index
    block: Any = model.blocks[0]
    q = model.queries.detach()
    n = int(torch.bincount(vertex).argmax())
    mine = gaussian[vertex == n]
    assert len(mine) > 2
    intra, inter = block.conv(BINDS), block.conv(NEAR)
    of_intra, of_inter = (block.norms["__".join(relation)] for relation in (BINDS, NEAR))

    def heads(values):
        return values.unflatten(-1, (2, 4))

    asked = of_intra[0](q) if norm == "pre" else q
    with torch.no_grad():
        for s in range(tokens):
            query, key = heads(intra.lin_query(asked[n, s])), heads(intra.lin_key(x[mine]))
            for h in range(2):
                expected = torch.softmax(key[:, h] @ query[h] / 4**0.5, 0)
                found = layers.intra[0].weights[layers.intra[0].target == n, s, h]
                assert torch.equal(layers.intra[0].source[layers.intra[0].target == n], mine)
                torch.testing.assert_close(found, expected)

        def step(layer_norm, work, h):
            return h + work(layer_norm(h)) if norm == "pre" else layer_norm(h + work(h))

        q = step(of_intra[0], lambda h: intra((x, h), graph[BINDS].edge_index), q)
        q = step(of_intra[1], block.ffns["__".join(BINDS)], q)
        asked = of_inter[0](q) if norm == "pre" else q
        here = layers.inter[0].target == n
        others = layers.inter[0].source[here]
        query, key = heads(inter.lin_query(asked[n, 0])), heads(inter.lin_key(asked[others, 0]))
        expected = torch.softmax((key * query).sum(-1) / 4**0.5, 0)
    torch.testing.assert_close(layers.inter[0].weights[here, 0], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("conv", ["auto", "attention", "TransformerConv", "GATv2Conv"])
@pytest.mark.parametrize("tokens", [1, 2])
def test_attention_and_shares_of_frames_sum_to_one(body, graph, conv, tokens):
    model = make_model(body, conv=conv, num_tokens=tokens)
    layers = attention_of(model, graph)
    assert not any(module._forward_pre_hooks for module in model.modules())
    bound = torch.bincount(graph[BINDS].edge_index[1], minlength=body.num_vertices)
    for attention in (*layers.intra, *layers.inter):
        assert attention.weights.shape[1:] == (tokens, 2)
        total = torch.zeros(body.num_vertices, tokens, 2).index_add_(0, attention.target, attention.weights)
        torch.testing.assert_close(total[attention.degree > 0], torch.ones_like(total[attention.degree > 0]))
    for attention in layers.intra:
        shares = frame_shares(attention, graph["gaussian"].frame, 3)
        assert torch.equal(shares.isnan().all(1), bound == 0)
        torch.testing.assert_close(shares[bound > 0].sum(1), torch.ones(int((bound > 0).sum())))
        assert relative_entropy(attention).nanmedian() < 0.9, "expected random weights to prefer some Gaussians"


def test_gaussians_of_one_frame_give_that_frame_everywhere(body, graph):
    attention = attention_of(make_model(body), graph).intra[1]
    shares = frame_shares(attention, torch.full_like(graph["gaussian"].frame, 2), 3)
    there = attention.degree > 0
    assert (shares[there].argmax(1) == 2).all()
    torch.testing.assert_close(shares[there], torch.tensor([0.0, 0.0, 1.0]).expand(int(there.sum()), 3))


def test_features_stored_in_half_precision_keep_their_frames(body, graph):
    whole, half = (
        frame_shares(attention_of(make_model(body, storage=storage), graph).intra[0], graph["gaussian"].frame, 3)
        for storage in ("float32", "bfloat16")
    )
    there = ~whole.isnan()
    assert (whole - half)[there].abs().median() < 0.01


def test_entropy_and_means_of_known_weights():
    attention = some_attention([[0.25] * 4, [1.0, 0.0], [], [1.0], [0.9, 0.1]])
    entropy = relative_entropy(attention)
    known = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1)) / np.log(2)
    torch.testing.assert_close(
        entropy, torch.tensor([1.0, 0.0, np.nan, np.nan, known], dtype=torch.float32), equal_nan=True
    )
    means = mean_of_sources(attention, torch.tensor([1.0, 2, 3, 4, 5, 6, 7, 10, 20]))
    torch.testing.assert_close(means, torch.tensor([2.5, 5.0, np.nan, 7.0, 11.0]), equal_nan=True)
    torch.testing.assert_close(relative_entropy(attention.even())[[0, 1, 4]], torch.ones(3))


def test_distances_count_edges_of_the_mesh():
    faces = torch.tensor([[0, 1, 2], [1, 2, 3], [2, 3, 4]])  # a strip: 0 and 3 are two edges apart, 0 and 4 too
    pairs = torch.tensor([[0, 0], [1, 0], [3, 0], [4, 0], [3, 1], [4, 1]])
    attention = Attention(1, pairs[:, 0], pairs[:, 1], torch.ones(6, 1, 1), 5)
    assert hop_distances(attention, faces, 2).tolist() == [0, 1, 2, 2, 1, 2]


def test_an_untrained_network_changes_nothing(body, graph):
    model = HGGNet(
        ModelConfig(in_channels=FEATURES, num_vertices=body.num_vertices, num_layers=1, hidden_channels=8, heads=2)
    ).eval()
    before = DirectBinding()(graph)
    with torch.no_grad():
        for change in read_out_changes(before, model(graph)):
            assert (change.values == 0).all(), change.name


def test_changes_are_in_the_units_that_they_say(body, graph):
    before = DirectBinding()(graph)
    half = torch.tensor(np.pi / 12, dtype=torch.float32)  # of a rotation by 30 degrees about x
    angle = torch.stack([half.cos(), half.sin(), torch.tensor(0.0), torch.tensor(0.0)])
    after = replace(
        before,
        means=before.means + torch.tensor([0.0, 0.003, 0.004]),
        colors=before.colors - 0.1,
        scales=before.scales * torch.tensor([8.0, 1.0, 1.0]),
        opacities=before.opacities - 0.25,
        quats=-angle.expand(len(before), 4),
    )
    before = replace(before, quats=torch.tensor([1.0, 0, 0, 0]).expand(len(before), 4))
    for change, expected in zip(read_out_changes(before, after), (5.0, 0.03**0.5, 1.0, -0.25, 30.0), strict=True):
        torch.testing.assert_close(change.values, torch.full_like(change.values, expected), rtol=1e-3, atol=1e-4)
    change = Change("moved", "mm", torch.tensor([1.0, 3.0, 5.0]), False)
    by_vertex = change.by_vertex(torch.tensor([2, 2, 0]), 3)
    torch.testing.assert_close(by_vertex, torch.tensor([5.0, np.nan, 2.0]), equal_nan=True)


def test_the_body_is_painted_from_both_sides(body):
    vertices, faces = body.v_template.double().numpy(), body.faces.numpy()
    painter = BodyMap(vertices, faces, height=120)
    # Class 1 on the person's left (+x), which is on the right as seen from the front; class 0 on the right.
    left = vertices[:, 0] > 0
    image = painter.paint_classes(np.stack([~left, left], 1).astype(float), np.array([[1.0, 0, 0], [0, 0, 1.0]]))
    half = image.shape[1] // 2
    chest = image[int(0.3 * len(image))]

    def sides(row):
        shown = row[(row < 0.99).any(-1)]
        return shown[: len(shown) // 3], shown[-len(shown) // 3 :]

    front, back = sides(chest[:half]), sides(chest[half:])
    assert (front[0][:, 0] > front[0][:, 2]).all()
    assert (front[1][:, 2] > front[1][:, 0]).all()
    assert (back[0][:, 2] > back[0][:, 0]).all()
    assert (back[1][:, 0] > back[1][:, 2]).all()

    height = vertices[:, 1]
    values = np.where(height > (height.min() + height.max()) / 2, 1.0, np.nan)
    image = painter.paint(values, Normalize(0, 1), colormaps["viridis"])
    above, below = (rows[(rows < 0.99).any(-1)] for rows in (image[:30], image[-30:]))
    assert (np.ptp(below, axis=1) < 1e-9).all(), "expected grey without values"
    assert below.max() <= max(NOTHING)
    assert np.ptp(above, axis=1).min() > 0.2


CLIP = ClipConfig(frames=2, target_views=4, target_poses=2)


def make_run(captures: Path, folder: Path, body, spec: GraphSpec | None = None, crop: bool = False, **settings) -> Path:
    """A run as training leaves it, with weights drawn at random."""
    settings = {"num_layers": 1, "hidden_channels": 8, "heads": 2, **settings}
    config = TrainConfig(
        data=captures, name="run", out=folder, cache=folder / "cache", crop=crop, image_size=32, clip=CLIP,
        graph=spec or GraphSpec(readout_k=2), model=ModelConfig(**settings)
    )  # fmt: skip
    create_run(config)
    features = make_backbone(config.backbone).feature_dim
    torch.manual_seed(0)
    relations = tuple((*relation, 0) for relation in (BINDS, NEAR) if relation[1] in config.graph.relations)
    fitted = replace(config.model, in_channels=features, num_vertices=body.num_vertices, relations=relations)
    model = HGGNet(fitted)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("head"):
                parameter.copy_(0.05 * torch.randn_like(parameter))
    model.save(config.folder / MODEL_FOLDER)
    return config.folder


def test_a_run_is_shown_whole(tiny_captures, tmp_path, body, capsys):
    run = make_run(tiny_captures, tmp_path, body, num_tokens=2, shift="surface", feedback=2)
    inspect_command.main(InspectConfig(run))
    folder = run / "inspect"
    assert {path.name for path in folder.iterdir()} == {*PAGES, "summary.json"}
    for name in PAGES:
        with Image.open(folder / name) as page:
            assert min(page.size) > 300
    shown = capsys.readouterr().out
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["t0"] == summary["frames"][0]
    assert len(summary["frames"]) == 2
    assert summary["left_out"] == []
    assert summary["renders"]["unseen_pose"]
    assert summary["renders"]["frame"] not in summary["frames"]
    assert len(summary["renders"]["views"]) == 2
    parts = {(row["part"], row["block"]) for row in summary["quantities"]}
    assert parts == {
        ("binding", None),
        ("intra", None),
        ("intra", 1),
        ("inter", None),
        ("inter", 1),
        ("read-out", None),
    }
    for row in summary["quantities"]:
        assert row["name"] in shown
    for shares in (summary["frame_shares"]["without_preference"], summary["frame_shares"]["intra"][0]["shares"]):
        assert sum(shares) == pytest.approx(1, abs=1e-5)

    # What is said of the bindings and of the read-out, straight from the graph and the network.
    subject = load_subject(run)
    bound = torch.bincount(subject.graph[BINDS].edge_index[1], minlength=body.num_vertices)
    assert summary["vertices_without_gaussians"] == int((bound == 0).sum()) > 0
    with torch.no_grad():
        moved = (subject.model(subject.graph).means - subject.graph["avatar"].pos).norm(dim=-1)
    row = next(row for row in summary["quantities"] if row["name"] == "moved")
    assert row["median"] == pytest.approx(1000 * moved.quantile(0.5).item(), rel=1e-4)
    assert row["count"] == len(moved)


@pytest.mark.parametrize(
    ("settings", "missing", "reason"),
    [
        ({"spec": GraphSpec(relations=("near",))}, {PAGES[0], PAGES[1], PAGES[2]}, "no relation binds"),
        ({"spec": GraphSpec(relations=("binds",))}, {PAGES[3]}, "no relation near"),
        ({"num_layers": 0}, {PAGES[1], PAGES[2], PAGES[3]}, "L = 0"),
        ({"conv": "SAGEConv"}, {PAGES[1], PAGES[2], PAGES[3]}, "SAGEConv returns no attention weights"),
        ({"backend": "mean"}, {PAGES[1], PAGES[2], PAGES[3]}, "the backend mean is not softmax over all edges"),
    ],
)
def test_what_a_network_lacks_is_left_out_and_said(tiny_captures, tmp_path, body, settings, missing, reason):
    found = findings_of(load_subject(make_run(tiny_captures, tmp_path, body, **settings)))
    for name in missing:
        (tmp_path / name).write_bytes(b"of an earlier network")
    pages = save_pages(tmp_path, found)
    assert {path.name for path in pages} == {*PAGES} - missing
    assert not any((tmp_path / name).exists() for name in missing)
    assert any(reason in line for line in table(found).splitlines() if line.startswith("left out: "))


@pytest.mark.parametrize(
    ("spec", "crop", "settings"),
    [
        (GraphSpec(k=2, hops=1, readout_k=1, self_loops=False), False, {"conv": "TransformerConv"}),
        (GraphSpec(hops=3), True, {"conv": "GATv2Conv", "norm": "post"}),
    ],
)
def test_other_graphs_layers_and_crops(tiny_captures, tmp_path, body, spec, crop, settings):
    found = findings_of(load_subject(make_run(tiny_captures, tmp_path, body, spec, crop, **settings)))
    hops = found.inter[0].hops
    inside = hops[~hops.isnan()]
    assert inside.min() >= (0 if spec.self_loops else 1 - 1e-5)
    assert inside.max() <= spec.hops + 1e-5
    assert all(row.count > 0 for row in rows_of(found))


def test_a_capture_of_one_frame(tiny_captures, tmp_path, body):
    subject = load_subject(make_run(tiny_captures, tmp_path, body))
    capture = subject.source.capture.select([0])
    found = findings_of(replace(subject, source=replace(subject.source, capture=capture), frames=(0,)))
    assert not found.unseen
    assert found.pose == capture.frames[0]
    assert "left out: an unseen pose: the capture has a single frame, so its input is shown" in table(found)
    shares = found.intra[0].shares
    assert (shares[~shares.isnan()] > 0.999).all()


@pytest.mark.slow
def test_a_body_of_smplx(tmp_path):
    config = SynthesizeConfig(out=tmp_path / "x", subjects=3, frames=2, views=4, size=32, layout="avatarrex_smplx")
    captures = make_captures(config)
    body = BodyModel(open_smplx())
    found = findings_of(load_subject(make_run(captures, tmp_path, body)))
    assert len(found.bound) == body.num_vertices
    save_pages(tmp_path / "pages", found)


def run(monkeypatch, capsys, *arguments: str) -> str:
    """Run the command; it must fail with code 2 and one line. Returns the line."""
    monkeypatch.setattr(sys, "argv", ["inspect", *arguments])
    with pytest.raises(SystemExit) as stop:
        run_command(InspectConfig, inspect_command.main)
    assert stop.value.code == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text
    lines = [line for line in text.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def test_wrong_inputs_end_in_one_line(tiny_captures, tmp_path, body, monkeypatch, capsys):
    folder = make_run(tiny_captures, tmp_path, body)
    assert "config.json: expected the configuration of a run" in run(monkeypatch, capsys, str(tmp_path / "nothing"))
    assert "--subject: expected a test subject of" in run(monkeypatch, capsys, str(folder), "--subject", "nobody")
    assert "expected a folder of captures" in run(monkeypatch, capsys, str(folder), "--data", str(tmp_path / "none"))
    (tmp_path / "file").touch()
    line = run(monkeypatch, capsys, str(folder), "--out", str(tmp_path / "file"))
    assert "--out" in line
    assert "expected a folder that can be written" in line

    path = folder / MODEL_FOLDER / "model.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "backend": "flex"}))
    assert "expected one that runs here, found 'flex'" in run(monkeypatch, capsys, str(folder))
    shutil.rmtree(folder / MODEL_FOLDER)
    assert "model.json: expected a saved model, found nothing" in run(monkeypatch, capsys, str(folder))


def test_a_network_of_another_configuration_is_refused(tiny_captures, tmp_path, body, monkeypatch, capsys):
    """Weights of the same shapes would load, and be another network in silence."""
    folder = make_run(tiny_captures, tmp_path, body)
    path = folder / MODEL_FOLDER / "model.json"
    settings = json.loads(path.read_text())
    for change, message in (
        ({"norm": "post"}, "norm: expected the network that was trained, found files that differ"),
        ({"heads": 4}, "heads: expected the network that was trained"),
        ({"relations": settings["relations"][::-1]}, "relations: expected the network that was trained"),
    ):
        path.write_text(json.dumps(settings | change))
        assert "model.json: " in (line := run(monkeypatch, capsys, str(folder)))
        assert "it is not the one that model.safetensors was written with" in line
        HGGNet(config_from_json(ModelConfig, settings | change)).save(folder / MODEL_FOLDER)  # both of another run
        assert message in run(monkeypatch, capsys, str(folder))


def test_a_network_of_another_body_or_backbone_is_refused(tiny_captures, tmp_path, body, monkeypatch, capsys):
    folder = make_run(tiny_captures, tmp_path, body)
    for name, message in (
        ("num_vertices", "expected a body of 7 vertices, the body has 6890 vertices"),
        ("in_channels", "expected 7 features per Gaussian, the per-frame network gives"),
    ):
        model = HGGNet.load(folder / MODEL_FOLDER)
        HGGNet(replace(model.config, **{name: 7})).save(folder / MODEL_FOLDER)
        assert message in run(monkeypatch, capsys, str(folder))
        model.save(folder / MODEL_FOLDER)
