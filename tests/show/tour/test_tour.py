"""The tour, run once from end to end: its page, its numbers, and the arrays behind them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from pellucid.data.digits import load_digits
from pellucid.data.splits import Data
from pellucid.errors import PellucidError
from pellucid.learn.network import Network
from pellucid.progress import StageTimer
from pellucid.see.models.network import NetworkModel
from pellucid.see.models.open import open_model
from pellucid.show.tour import stages
from pellucid.show.tour import tour as tours
from pellucid.show.tour.stages import Facts

MAPS = {"conv1": 32, "conv2": 64, "conv3": 128}


@pytest.fixture(scope="module")
def told() -> list[tuple[str, float | None]]:
    return []


@pytest.fixture(scope="module")
def toured(tmp_path_factory: pytest.TempPathFactory, told: list[tuple[str, float | None]]) -> Path:
    out = tmp_path_factory.mktemp("tour") / "made" / "anew"
    tour = tours.run_tour(out, progress=lambda stage, seconds: told.append((stage, seconds)))
    assert tour.page == out / "index.html"
    return out


@pytest.fixture(scope="module")
def results(toured: Path) -> Facts:
    return json.loads((toured / "results.json").read_text(encoding="utf-8"))


def by_torch(network: Network, layer: str, images: np.ndarray) -> np.ndarray:
    """The mean of every map for its own image, by PyTorch's convolutions instead of ours: (map,)."""
    x = torch.from_numpy(images)
    for name in ("conv1", "pool1", "conv2", "pool2", "conv3"):
        if name.startswith("pool"):
            x = functional.max_pool2d(x, 2)
            continue
        weight, bias = (torch.from_numpy(network.parameters[f"{name}.{part}"]) for part in ("weight", "bias"))
        x = functional.relu(functional.conv2d(x, weight, bias))
        if name == layer:
            break
    return x.mean((2, 3)).diagonal().numpy()


@pytest.mark.slow
def test_every_map_has_its_activation_and_it_is_that_of_its_image(toured: Path, results: Facts):
    """Rejects an activation noted before the image's last change, images saved in another order, and a map left out."""
    model = open_model(stages.MODEL)
    assert isinstance(model, NetworkModel)
    assert {layer["layer"]: len(layer["maps"]) for layer in results["layers"]} == MAPS
    with np.load(toured / "patterns.npz") as saved:
        color = {f"{results['color']['model']} {one['layer']}" for one in results["color"]["units"]}
        assert set(saved) == set(MAPS) | color
        for images in map(saved.get, color):
            assert images.shape[1:] == (3, 128, 128)
        for layer in results["layers"]:
            images = saved[layer["layer"]]
            assert images.dtype == np.float32
            assert images.shape == (MAPS[layer["layer"]], 1, 28, 28)
            noted = np.array([one["activation"] for one in layer["maps"]])
            np.testing.assert_allclose(by_torch(model.network, layer["layer"], images), noted, rtol=1e-4, atol=1e-4)
            for one in layer["maps"]:
                assert one["dead"] == (one["activation"] <= 0)


@pytest.mark.slow
def test_the_digits_are_read_well(results: Facts):
    """Rejects a training that works only on paper; the bar is the one that the README states."""
    assert results["test"]["accuracy"] >= 0.97
    assert all(row["right"] for row in results["gradients"])
    assert results["data"]["classes"] == list("0123456789")
    assert results["digit"]["truth"] == load_digits(0).test.labels[results["digit"]["image"]]


@pytest.mark.slow
def test_the_page_stands_alone_and_is_light(toured: Path):
    """Rejects a page that fetches anything, or that takes longer to open than to read."""
    html = (toured / "index.html").read_text(encoding="utf-8")
    assert len(html.encode()) < 3_000_000
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", html)
    assert "http://" not in html
    assert "https://" not in html
    assert html.count('aria-haspopup="dialog"') == 224


@pytest.mark.slow
def test_the_numbers_on_the_page_are_those_of_the_results(toured: Path, results: Facts):
    """Rejects a page rendered before the last number was known."""
    html = (toured / "index.html").read_text(encoding="utf-8")
    assert f"{results['test']['right']} of {results['test']['images']} digits" in html
    shown = json.loads(re.search(r'id="tour-data">(.*?)</script>', html, re.DOTALL)[1])
    for layer, found in zip(shown, results["layers"], strict=True):
        assert [one["activation"] for one in layer["maps"]] == [one["activation"] for one in found["maps"]]


@pytest.mark.slow
def test_every_stage_is_told_and_timed(told: list[tuple[str, float | None]], results: Facts):
    """Rejects a tour that is silent for half a minute, and seconds that are not those of the stage."""
    begun = [stage for stage, seconds in told if seconds is None]
    assert begun == list(results["seconds"])
    assert dict(told) == pytest.approx(results["seconds"])
    assert begun[-3:] == ["natural images of efficientnet-lite0", "dreaming", "drawing the page"]
    assert [stage for stage in begun if "patterns" in stage] == [f"patterns of {layer}" for layer in MAPS]
    # What is compiled only once must not be told as what the first layer takes.
    assert begun.index("compiling what is not compiled yet") == begun.index("patterns of conv1") - 1


@pytest.mark.slow
def test_only_the_three_files_are_left(toured: Path):
    """Rejects temporary files that stay, and parents that were not made."""
    assert sorted(path.name for path in toured.iterdir()) == ["index.html", "patterns.npz", "results.json"]


def test_a_tour_that_fails_leaves_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Rejects a page emptied before its successor is whole."""

    (tmp_path / "index.html").write_text("older", encoding="utf-8")

    def failing(*_: object, **__: object) -> None:
        raise PellucidError("The hand-written gradient of 'conv1.weight' is wrong.")

    monkeypatch.setattr(stages, "run_stages", failing)
    with pytest.raises(PellucidError, match="conv1"):
        tours.run_tour(tmp_path, progress=lambda *_: None)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    assert (tmp_path / "index.html").read_text(encoding="utf-8") == "older"


def test_the_first_chapter_is_there_while_the_others_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Rejects half a minute before an empty folder, and a page of one chapter that is left where no other follows."""
    seen: list[str] = []

    def failing(*_: object, **__: object) -> None:
        seen.append((tmp_path / "index.html").read_text(encoding="utf-8"))
        raise PellucidError("The hand-written gradient of 'conv1.weight' is wrong.")

    monkeypatch.setattr(stages, "run_stages", failing)
    with pytest.raises(PellucidError, match="conv1"):
        tours.run_tour(tmp_path, progress=lambda *_: None)
    (page,) = seen
    assert "A digit is 784 numbers" in page
    assert "location.reload()" in page
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_is_refused_before_the_work(tmp_path: Path):
    """Rejects half a minute of work for a page that has nowhere to go."""
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    told: list[str] = []
    with pytest.raises(PellucidError, match="a file is in the way"):
        tours.run_tour(tmp_path / "file", progress=lambda stage, _: told.append(stage))
    assert set(told) == {"reading the images"}


def test_a_wrong_name_is_refused_before_anything_is_made(tmp_path: Path):
    """Rejects an empty folder left for data that do not exist, and PyTorch opened for nothing."""
    told: list[str] = []
    with pytest.raises(PellucidError, match="digits"):
        tours.run_tour(tmp_path / "tour", "digts", progress=lambda stage, _: told.append(stage))
    assert set(told) == {"reading the images"}
    assert not (tmp_path / "tour").exists()


def test_the_command_on_the_page_makes_the_same_page():
    """Rejects a name without its quotes, and a command line for data that only their owner has."""
    assert tours.tour_command("digits", 0) == "pellucid tour --data digits --seed 0"
    assert tours.tour_command("my digits.csv", 3) == "pellucid tour --data 'my digits.csv' --seed 3"
    digits = load_digits(0)
    assert tours.tour_command(digits, 1) == "pellucid tour --data digits --seed 1"
    own = Data(digits.train, digits.dev, digits.test, name="mine")
    assert tours.tour_command(own, 1) == "run_tour(out, mine, seed=1)"


def test_a_stage_that_fails_is_not_counted():
    """Rejects seconds for work that was not done."""
    clock = StageTimer(lambda *_: None)
    with clock("one"):
        pass
    with pytest.raises(ValueError, match="no"), clock("two"):
        raise ValueError("no")
    assert list(clock.seconds) == ["one"]
