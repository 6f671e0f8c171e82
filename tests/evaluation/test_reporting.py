"""Tables, kept images and folders of images, without a model."""

import re

import numpy as np
import pytest
from PIL import Image

from hgg_pyg.evaluation.reporting import Gallery, Shot, parse_methods
from hgg_pyg.evaluation.reporting.charts import ERROR_LIMIT, error_map
from hgg_pyg.evaluation.reporting.image_folder import ImageFolder, SavedImages, Wanted
from hgg_pyg.evaluation.reporting.page import Page, page
from hgg_pyg.evaluation.reporting.tables import Table, task_tables
from hgg_pyg.evaluation.scores import ImageScore, Score, by_subject, mean_score, spreads, summarise
from hgg_pyg.types import UserError

METHODS = ("direct binding", "ours")


def score(subject: str, method: str, psnr: float, **others: float) -> Score:
    return Score(subject=subject, task="novel view", method=method, psnr=psnr, ssim=0.9, images=3, **others)


SCORES = [score("a", "direct binding", 20.0), score("b", "direct binding", 26.0)]
SCORES += [score("a", "ours", 21.0), score("b", "ours", 29.0)]


def test_means_spreads_and_gains_are_over_subjects():
    summary = summarise(SCORES, ("novel view", "novel pose"), METHODS)
    assert summary == {"novel view": {m: {"psnr": v, "ssim": 0.9} for m, v in zip(METHODS, (23.0, 25.0), strict=True)}}
    deviations = spreads(SCORES, ("novel view",), METHODS)["novel view"]
    assert deviations["ours"]["psnr"] == pytest.approx(np.std([21, 29], ddof=1))
    assert spreads(SCORES[::2], ("novel view",), METHODS)["novel view"]["ours"]["psnr"] is None
    assert np.isnan(mean_score(SCORES, "novel pose", "ours", "psnr"))
    (table,) = task_tables(SCORES, ("novel view", "novel pose"), METHODS, ("psnr", "lpips_vgg", "psnr_box"))
    assert table.rows == (
        ("direct binding", "23.00 ± 4.24", "no weights", "-"),
        ("ours", "25.00 ± 5.66", "no weights", "-"),
        ("ours - direct binding", "+2.00 ± 1.41", "-", "-"),
    )
    assert "2 subjects, 6 images" in table.title


def test_images_of_a_subject_count_once_and_missing_values_not_at_all():
    about = {"task": "novel view", "method": "ours", "camera": "c", "frame": 1, "after": 0, "ssim": 0.5}
    images = [ImageScore(subject="a", psnr=20.0, psnr_mask=10.0, **about), ImageScore(subject="a", psnr=30.0, **about)]
    images.append(ImageScore(subject="b", psnr=40.0, **about))
    first, second = by_subject(images)
    assert (first.psnr, first.psnr_mask, first.images) == (25.0, 10.0, 2)
    assert (second.psnr, second.psnr_mask) == (40.0, None)
    assert mean_score((first, second), "novel view", "ours", "psnr") == 32.5


def test_a_table_is_the_same_in_both_forms():
    table = Table("title", ("", "a|b", "<c>"), (("row", "1", "22"), ("longer", "333", "4")))
    assert table.text() == "title\n        a|b  <c>\nrow       1   22\nlonger  333    4"
    assert table.markdown().splitlines()[2] == "|  | a\\|b | <c> |"


def test_a_page_escapes_what_it_is_told(tmp_path):
    empty = Table("", (), ())
    content = Page(
        run=tmp_path / "a&b",
        images=(),
        methods=METHODS,
        tasks=(),
        gallery=Gallery(0),
        summary=Table("'title'", ("", "<c>"), (("row", "1 < 2"), ("longer", "3"))),
        gains=(),
        subjects=(empty,),
        remarks=("<script>",),
        definitions=("x", "y"),
    )
    text = page(content)
    assert text.startswith("<!doctype html>")
    assert "<title>Evaluation of a&amp;b</title>" in text
    assert "<caption>&#39;title&#39;</caption>" in text
    assert '<tr><th scope="col"></th><th scope="col">&lt;c&gt;</th></tr>' in text
    assert '<tr><th scope="row">row</th><td>1 &lt; 2</td></tr>\n<tr><th scope="row">longer</th><td>3</td></tr>' in text
    assert "<ul><li>&lt;script&gt;</li></ul>" in text
    assert text.count("<table>") == 2
    assert text.count("<caption>") == 1
    assert "<img" not in text


def test_the_gallery_keeps_the_worst_and_the_least_gains():
    gallery, made = Gallery(2), []
    direct, ours = [20, 30, 25, 10, 22], [21, 20, 28, 15, 22.5]

    def make(i):
        made.append(i)
        return Shot("novel view", "s", "c", i, np.zeros((2, 2, 3), np.uint8), (None, None), (direct[i], ours[i]))

    for i, pair in enumerate(zip(direct, ours, strict=True)):
        gallery.offer("novel view", *pair, lambda i=i: make(i), typical=i == 4)
    assert [shot.frame for shot in gallery.worst("novel view")] == [3, 1]
    assert [shot.frame for shot in gallery.least_gain("novel view")] == [1, 4]
    assert [shot.frame for shot in gallery.typical("novel view")] == [4]
    assert gallery.worst("novel pose") == []
    assert 2 not in made  # nothing is made that is not kept
    none = Gallery(0)
    none.offer("novel view", 1.0, 1.0, lambda: pytest.fail("made"), typical=True)


def test_error_maps_have_one_scale():
    truth = np.full((2, 2, 3), 100, np.uint8)
    black = error_map(truth, truth)
    assert black.max() <= 4
    far = truth + np.uint8(round(255 * ERROR_LIMIT))
    assert np.array_equal(error_map(far, truth), error_map(np.full_like(truth, 255), truth))
    assert error_map(truth + 20, truth).sum() < error_map(truth + 40, truth).sum()


@pytest.fixture
def wanted() -> list[Wanted]:
    return [Wanted("s", task, "cam/0", frame, (6, 4)) for task in ("novel view", "novel pose") for frame in (1, 12)]


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 4, 6, 3), dtype=np.uint8)


def test_saved_images_are_read_back(wanted, images, tmp_path):
    SavedImages(tmp_path).add_images("my method", wanted, images)
    assert (tmp_path / "my_method" / "s" / "novel_pose" / "cam_0" / "00000012.png").is_file()
    folder = ImageFolder("m", tmp_path / "my_method")
    assert folder.check(wanted) == ([], [])
    for item, image in zip(wanted, images, strict=True):
        assert np.array_equal((folder.read(item) * 255).round().astype(np.uint8), image)


def test_what_a_folder_lacks_is_listed(wanted, images, tmp_path):
    SavedImages(tmp_path).add_images("m", wanted[1:2], images[1:2])
    folder = ImageFolder("m", tmp_path / "m")
    assert folder.check(wanted) == ([wanted[0]], ["novel pose"])  # a method that cannot animate has no novel poses
    with pytest.raises(UserError, match=r"novel_view/cam_0/00000001\.png the first, found none"):
        ImageFolder("m", tmp_path).check(wanted)
    with pytest.raises(UserError, match="expected a folder of images, found nothing"):
        ImageFolder("m", tmp_path / "none").check(wanted)


def test_wrong_images_are_named(wanted, images, tmp_path):
    SavedImages(tmp_path).add_images("m", wanted, images)
    folder = ImageFolder("m", tmp_path / "m")
    path = folder.folder / wanted[2].path
    whole = path.read_bytes()
    Image.new("RGB", (5, 4)).save(path)
    with pytest.raises(UserError, match=r"00000001\.png: expected 6x4 pixels, 8-bit RGB on white, found 5x4 RGB"):
        folder.check(wanted)
    Image.new("RGBA", (6, 4)).save(path)
    with pytest.raises(UserError, match="found 6x4 RGBA"):
        folder.check(wanted)
    path.write_bytes(b"no image")
    with pytest.raises(UserError, match="expected a PNG image"):
        folder.check(wanted)
    path.write_bytes(whole[:60])
    with pytest.raises(UserError, match="expected a whole image"):
        folder.read(wanted[2])


@pytest.mark.parametrize("text", ["GART", "=folder", "GART=", "Ours=folder", "..=folder", ".=folder"])
def test_methods_need_a_name_of_their_own_and_a_folder(text):
    with pytest.raises(UserError, match=re.escape(f"--method {text}")):
        parse_methods([text], METHODS)
    with pytest.raises(UserError, match="taken"):
        parse_methods(["a=x", "A=y"], METHODS)
    assert [folder.name for folder in parse_methods(["a=x", "b=y=z"], METHODS)] == ["a", "b"]
