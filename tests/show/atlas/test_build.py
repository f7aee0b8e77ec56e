"""The atlas, made of a tiny module and of a small network: its files, its numbers, and what happens the second time."""

import json
import re
import shlex
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pellucid import cli
from pellucid.cli.app import app
from pellucid.data.pixels import DEVIATIONS
from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError, PellucidWarning
from pellucid.learn.layers import BatchNorm, Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network
from pellucid.see.dataset.ablation import ablate
from pellucid.see.judge.judge import judge
from pellucid.see.models.open import open_model
from pellucid.see.patterns.api import patterns
from pellucid.settings import AtlasSettings, Settings
from pellucid.show import style
from pellucid.show.atlas import build as atlases
from pellucid.show.atlas import parts, pictures, records, site
from pellucid.show.atlas.build import Atlas, atlas

HOSTILE = ("</script><script>alert(1)</script>", "\"'><img src=x onerror=alert(2)>", "{{ 7 * 7 }} & <b>")
SHAPE = (1, 9, 7)
QUICK = {"image": "sphere", "steps": 3, "variants": 2, "snapshots": 2, "examples": 4, "links": 3}
CHOSEN = ("1", "4")  # what the rectifier and the last layer answer
SILENT = 1  # the first layer's unit that nothing wakes


def invented(count: int = 40) -> Data:
    rng = np.random.default_rng(0)

    def split(number: int) -> Split:
        labels = np.arange(number) % len(HOSTILE)
        return Split(rng.random((number, *SHAPE)).astype(np.float32), labels)

    return Data(split(count), split(13), split(11), name="<u>d</u>", classes=HOSTILE)


def module() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(5 * 3 * 2, 3))
    with torch.no_grad():
        net[0].weight[SILENT].fill_(0)
        net[0].bias[SILENT] = -1
    return net


def quiet(stage: str, seconds: float | None) -> None:
    del stage, seconds


def make(out: Path, data: Data | None, **settings) -> Atlas:
    return atlas(
        open_model(module(), input_shape=SHAPE),
        out,
        data,
        progress=quiet,
        ticks=lambda *_: None,
        **{**QUICK, "layers": CHOSEN, **settings},
    )


@pytest.fixture(scope="module")
def data() -> Data:
    return invented()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, data: Data) -> Path:
    out = tmp_path_factory.mktemp("atlas") / "made" / "anew"
    assert make(out, data).page == out / "index.html"
    return out


@pytest.fixture(scope="module")
def record(made: Path) -> dict:
    return json.loads((made / "atlas.json").read_text(encoding="utf-8"))


def test_nothing_is_asked_of_the_network(made):
    """Rejects a font, a style or a script from elsewhere, and a page without its policy."""
    texts = [path.read_text(encoding="utf-8") for path in made.rglob("*") if path.suffix in (".html", ".js")]
    assert len(texts) == 3
    for text in texts:
        assert not re.search(r"(https?:)?//[a-z]", text)
    assert "default-src 'none'" in (made / "index.html").read_text(encoding="utf-8")


def test_hostile_names_stay_names(made):
    """Rejects a class name that ends the script it stands in, or becomes an element."""
    page = (made / "index.html").read_text(encoding="utf-8")
    assert page.count("<script") == 2
    assert "<img src=x" not in page
    assert "49" not in re.findall(r"window.PELLUCID = (.*?);</script>", page)[0].split('"classes"')[1].split("]")[0]
    for script in (made / "data").glob("*.js"):
        assert "<" not in script.read_text(encoding="utf-8")
    held = json.loads(re.findall(r"window.PELLUCID = (.*);</script>", page)[0])
    assert tuple(held["data"]["classes"]) == HOSTILE


def test_every_picture_has_words(made):
    """Rejects an image element without an alternative text; tiles get their words from the script."""
    page = (made / "index.html").read_text(encoding="utf-8")
    for tag in re.findall(r"<img\b[^>]*>", page):
        assert re.search(r'\balt="[^"]', tag), tag
    script = page[page.rindex("<script>") :]
    assert 'createElement("img")' not in script
    assert '"img"' not in script.replace('role: "img"', "").replace('"role", "img"', "")


def test_numbers_follow_from_the_arrays(made, record):
    """Rejects a page whose numbers come from anywhere but what is kept."""
    assert [layer["name"] for layer in record["layers"]] == ["1", "4"]
    with np.load(made / "arrays" / "scan.npz", allow_pickle=False) as file:
        said = dict(file)
    for index, layer in enumerate(record["layers"]):
        with np.load(made / "arrays" / f"layer-{index:03d}.npz", allow_pickle=False) as found:
            best = found["activations"].max(0)
            np.testing.assert_allclose(layer["activation"], best, rtol=1e-4, atol=1e-7)
            assert layer["mean_activation"] == pytest.approx(float(best.mean()), rel=1e-4)
            assert layer["dead"] == np.flatnonzero(found["dead"]).tolist()
        for unit, entry in enumerate(layer["entries"]):
            values = said[f"{index}:values"][unit]
            np.testing.assert_allclose([e["activation"] for e in entry["examples"]], values, rtol=1e-4, atol=1e-7)
            assert sum(entry["histogram"]["counts"]) == record["data"]["scanned"] == 53
            np.testing.assert_allclose(entry["class_means"], said[f"{index}:class_means"][unit], rtol=1e-4, atol=1e-7)
            assert [one["activation"] for one in entry["variants"]] == sorted(
                (one["activation"] for one in entry["variants"]), reverse=True
            )


def test_the_examples_are_those_of_brute_force(record, data):
    """Rejects examples of another unit, and a label that is not the image's."""
    net = module().eval()
    images = np.concatenate([data.train.images, data.dev.images])
    with torch.no_grad():
        values = net[:2](torch.from_numpy(images)).mean((2, 3)).numpy()
    for unit, entry in enumerate(record["layers"][0]["entries"]):
        order = np.argsort(-values[:, unit], kind="stable")[:4]
        found = [e["index"] + (len(data.train) if e["split"] == "dev" else 0) for e in entry["examples"]]
        assert found == order.tolist()
        assert [e["label"] for e in entry["examples"]] == [
            int((data.train if e["split"] == "train" else data.dev).labels[e["index"]]) for e in entry["examples"]
        ]
        for example, position in zip(entry["examples"], order, strict=True):
            with torch.no_grad():
                peak = int(net[:2](torch.from_numpy(images[position : position + 1]))[0, unit].argmax())
            assert example["box"] == [peak // 5, peak % 5, 3, 3]


def test_dead_is_told_with_its_proof(record):
    """Rejects a dead unit without the number of starts and images that were tried."""
    layer = record["layers"][0]
    assert layer["dead"] == [SILENT]
    entry = layer["entries"][SILENT]
    assert entry["dead"]
    assert entry["tried_starts"] == 2 * 4 * 512
    assert entry["tried_images"] == 40
    assert entry["ratio"] is None


def test_a_layer_before_its_rectifier_is_not_called_dead(tmp_path, data):
    """Rejects "dead" for a convolution whose map is negative on average, and positive where it finds its edge."""
    model = open_model(module(), input_shape=SHAPE)
    assert not patterns(model, "0", units=[0], data=data, steps=3).dead[0]
    assert 0 not in make(tmp_path, data, layers=("0",)).record["layers"][0]["dead"]


@pytest.mark.filterwarnings("ignore:The gradient is exactly zero")  # all that the last layer reads is silent here
def test_by_default_layers_are_seen_behind_their_rectifiers(tmp_path):
    """Rejects a wall of pre-activations, and links that are lost behind a normalization."""
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(6, 2)),
    )
    record = atlas(open_model(net, input_shape=(1, 9, 7)), tmp_path, progress=quiet, **QUICK).record
    assert [(layer["name"], layer["before"]) for layer in record["layers"]] == [("2", None), ("4", "2"), ("7", "4")]
    weight = net[3].weight.detach().flatten(2).norm(dim=2).numpy()
    for unit, entry in enumerate(record["layers"][1]["entries"]):
        assert entry["before"][0][0] == weight[unit].argmax()


def test_tiles_lie_where_the_page_looks(made, record):
    """Rejects a sheet whose rows are not the units: pattern first, then film, then examples."""
    page = (made / "index.html").read_text(encoding="utf-8")
    layer = json.loads(re.findall(r"window.PELLUCID = (.*);</script>", page)[0])["layers"][0]
    height, width = layer["tile"]
    assert layer["tiles"] == 2 + len(layer["film_steps"]) + 4
    sheet = np.asarray(Image.open(made / "images" / layer["sheets"][0]))
    wall = np.asarray(Image.open(made / "images" / layer["wall"]))
    with np.load(made / "arrays" / "layer-000.npz", allow_pickle=False) as found:
        for unit in range(5):
            shown = style.duotone(
                pictures.pattern_tiles(found["patterns"][found["order"][0, unit], unit][None], DEVIATIONS)[0]
            )
            np.testing.assert_array_equal(sheet[unit * height : (unit + 1) * height, :width], shown)
            row, column = divmod(unit, layer["columns"])
            np.testing.assert_array_equal(
                wall[row * height : (row + 1) * height, column * width : (column + 1) * width], shown
            )
            last = style.duotone(found["film"][unit, -1])
            at = (2 + len(layer["film_steps"]) - 1) * width
            np.testing.assert_array_equal(sheet[unit * height : (unit + 1) * height, at : at + width], last)


def test_a_second_time_computes_nothing(made, data, monkeypatch):
    """Rejects an atlas that begins again: finished parts are taken over, and the pages come out the same."""
    before = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    monkeypatch.setattr(parts, "patterns", lambda *_, **__: pytest.fail("patterns were sought again"))
    monkeypatch.setattr(parts, "partial_stats", lambda *_, **__: pytest.fail("the images were scanned again"))
    assert make(made, data).resumed == 3
    assert {path: path.read_bytes() for path in made.rglob("*") if path.is_file()} == before


def test_an_interrupted_atlas_goes_on(tmp_path, data, monkeypatch):
    """Rejects a first layer that is lost when the second is interrupted, and a page that is not whole but looks so."""
    real, sought = parts.patterns, []

    def interrupted(model, layer, **rest):
        sought.append(layer)
        if len(sought) == 3:
            raise KeyboardInterrupt
        return real(model, layer, **rest)

    monkeypatch.setattr(parts, "patterns", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, data)
    assert [layer["name"] for layer in json.loads((tmp_path / "atlas.json").read_text())["layers"]] == ["1"]
    assert not list(tmp_path.rglob(".*"))
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "3 of its\n  8 units are missing" in page
    assert make(tmp_path, data).resumed == 2
    assert sought == ["1", "1", "4", "4", "4"]


@pytest.mark.parametrize("change", ["seed", "weights", "data", "damage"])
def test_what_changed_is_computed_anew(tmp_path, change):
    """Rejects parts of another model, other images, other settings, or a damaged file, that are taken over."""
    layers = [Conv(2, 3), Flatten(), Dense(3, activation="linear")]
    net = Network(layers, input_shape=SHAPE, classes=3, scaling="unit")
    atlas(net, tmp_path, invented(), progress=quiet, **QUICK)
    seed, data = (1 if change == "seed" else 0), invented(41 if change == "data" else 40)
    if change == "weights":
        net.parameters["conv1.bias"][0] += 1
    if change == "damage":
        (tmp_path / "arrays" / "layer-000.npz").write_bytes(b"PK")
    again = atlas(net, tmp_path, data, progress=quiet, **QUICK, seed=seed)
    assert again.resumed == (2 if change == "damage" else 0)


def test_without_data_its_parts_are_absent(tmp_path):
    """Rejects empty examples, zero means, and an order by class where no class is known."""
    record = make(tmp_path, None).record
    assert "data" not in record
    assert "path" not in record
    assert not (tmp_path / "arrays" / "scan.npz").exists()
    for layer in record["layers"]:
        assert not {"active", "class", "mean", "class_means"} & set(layer)
        for entry in layer["entries"]:
            assert not {"examples", "histogram", "class_means", "ratio", "active"} & set(entry)
            assert entry["variants"]
    assert "after" in record["layers"][0]["entries"][0]


def test_a_network_and_colours(tmp_path):
    """Rejects an atlas of gray pictures only, and one that needs a PyTorch module."""
    layers = [Conv(3, 3), Pool(2), Flatten(), Dense(4), Dense(2, activation="linear")]
    net = Network(layers, input_shape=(3, 8, 10), classes=2, scaling="standardized")
    record = atlas(net, tmp_path, progress=quiet, **QUICK).record
    assert [layer["name"] for layer in record["layers"]] == ["conv1", "dense", "logits"]
    assert record["layers"][1]["before"] == "conv1"
    assert len(record["layers"][1]["entries"][0]["before"]) == 3
    assert record["model"]["parameters"] == sum(array.size for array in net.parameters.values())
    with np.load(tmp_path / "arrays" / "layer-000.npz", allow_pickle=False) as found:
        assert found["film"].shape[-1] == 3


def test_layers_can_be_chosen_and_misspelt(tmp_path, data):
    """Rejects an unknown layer found only after long work, or a choice that is ignored."""
    assert [layer["name"] for layer in make(tmp_path / "a", None, layers=("4", "2")).record["layers"]] == ["2", "4"]
    with pytest.raises(PellucidError, match="no layer 'conv9'"):
        make(tmp_path / "b", data, layers=("conv9",))
    assert not (tmp_path / "b").exists()
    with pytest.raises(PellucidError, match="variants"):
        make(tmp_path / "b", data, variants=0)


def test_data_of_another_shape_is_resized(tmp_path):
    """Rejects a traceback from the middle of the scan, and images that are resized without a word."""
    split = Split(np.zeros((3, 1, 4, 4), np.float32), np.zeros(3, np.int64))
    with pytest.warns(PellucidWarning, match="Images of 1 x 4 x 4 are resized to 1 x 9 x 7"):
        assert make(tmp_path / "c", Data(split, split, split)).record["data"]["scanned"] == 3


def test_large_images_are_averaged_over_blocks():
    """Rejects interpolation, and tiles larger than a sheet can hold."""
    images = np.arange(2 * 3 * 257 * 300, dtype=np.float32).reshape(2, 3, 257, 300)
    small = pictures.average_blocks(images)
    assert small.shape == (2, 3, 85, 100)
    assert small[1, 2, 3, 4] == pytest.approx(images[1, 2, 9:12, 12:15].mean())
    with pytest.raises(PellucidError, match="larger than a picture"):
        pictures.wall_columns(20_000, 128, 128)


def test_two_thousand_units_share_sheets():
    """Rejects a sheet beyond what WebP can hold, and a unit that falls between two sheets."""
    rows = [np.full((3, 28, 28), unit % 251, np.uint8) for unit in range(2000)]
    made = pictures.unit_sheets(rows, len(rows))
    assert max(max(sheet.shape) for sheet in made) <= pictures.LARGEST_SHEET
    unit = 1234
    sheet, row = divmod(unit, pictures.UNITS)
    assert made[sheet][row * 28, 0] == unit % 251


def test_a_class_is_preferred_only_where_it_matters():
    """Rejects a favourite among equals, and a class without images."""
    means = np.array([[1.0, 2.0, np.nan], [3.0, 3.0, 3.01], [-2.0, -1.0, np.nan], [0.0, 0.0, 0.0]])
    assert records.preferred_classes(means) == [1, None, 1, None]


def bound(words: str) -> dict[str, dict]:
    """What the command line makes of words: the values given of each group of settings, and the other arguments."""
    verb, *rest = shlex.split(words)
    assert verb == "pellucid"
    _, arguments, _ = app.parse_args(rest, exit_on_error=False, print_error=False)
    groups = {type(one).__name__: one for one in arguments.arguments.values() if isinstance(one, Settings)}
    rest = {name: one for name, one in arguments.arguments.items() if not isinstance(one, Settings)}
    return {**groups, "given": {name: one.model_fields_set for name, one in groups.items()}, "rest": rest}


COMMANDS = {
    "nothing": "pellucid atlas mnist-cnn --out atlas",
    "words that a shell would split": "pellucid atlas 'my net.pt' --name \"it's\" --data 'my data' --out 'my atlas'",
    "several and negative numbers": "pellucid atlas a.pt --layers conv1 conv2 --color-matrix 1 0 -0.5 0 1 0 0 0 1 "
    "--pixel-range -1 1 --scales 3 3x7 --out atlas",
    "booleans": "pellucid atlas a.pt --trust --no-relative --grow --image natural --logit --out atlas",
    "how the model is opened": "pellucid atlas a.b:c --input-shape 3,30,28 --scaling 0.5,0.2 --weights w.pt "
    "--classes names.txt --device cpu --data mnist --data-dir there --out atlas",
    "a preset, and what beats it": "pellucid atlas a.pt --preset classic --steps 30 --keep best --at 3 all --out a",
}


@pytest.mark.parametrize("case", COMMANDS)
def test_the_command_of_the_card_makes_the_same_atlas(tmp_path, monkeypatch, case):
    """Rejects a command that leaves out how the model is opened, a boolean, a preset or the folder of MNIST, and one
    that says how it was worked on."""
    said = {}
    monkeypatch.setattr("pellucid.cli.showing.model_of", lambda model, how: model)
    monkeypatch.setattr(
        atlases, "atlas", lambda *_, **given: said.update(given) or types.SimpleNamespace(page=tmp_path)
    )
    words = shlex.split(COMMANDS[case])[1:]
    assert cli.main([*words, "--no-resume", "--chunk", "8", "--workers", "2"]) == 0
    own, asked = bound(said["command"]), bound(COMMANDS[case])
    assert own["rest"] == asked["rest"]
    assert own == asked


def test_the_call_of_the_card_is_that_of_python(tmp_path, data):
    """Rejects a command line for what only Python can pass, and a call without its settings or its folder."""
    own = make(tmp_path / "own", data, name="Mine").record
    assert own["name"] == "Mine"
    assert own["command"].startswith(f"pellucid.atlas(model, out='{tmp_path / 'own'}', data=data, ")
    asked = eval(own["command"], {"pellucid": types.SimpleNamespace(atlas=lambda *a, **k: k), "model": 0, "data": data})  # noqa: S307  # our own words
    assert {**QUICK, "layers": CHOSEN, "name": "Mine", "out": str(tmp_path / "own"), "data": data} == asked


def test_a_pattern_of_the_atlas_is_that_of_the_same_settings(tmp_path):
    """Rejects settings of patterns that an atlas takes and ignores, seeds that are not those after the first, and
    the most exciting of the patterns that excite least."""
    asked = {"optimizer": "normalized", "learning_rate": 0.2, "noise": "normal", "extreme": "least", "seed": 5}
    record = make(tmp_path, None, **asked).record
    assert record["layers"][0]["sought"] == "whatever excites least"
    assert record["title"] == "What excites every unit of Sequential least"
    with np.load(tmp_path / "arrays" / "layer-001.npz", allow_pickle=False) as found:
        for variant in range(2):
            one = patterns(open_model(module(), input_shape=SHAPE), "4", steps=3, **{**asked, "seed": 5 + variant})
            np.testing.assert_array_equal(found["patterns"][variant], one.images)
        np.testing.assert_array_equal(
            record["layers"][1]["activation"], records.json_number(found["activations"].min(0))
        )


def test_the_least_lies_behind_all_other_tiles(tmp_path):
    """Rejects the most, another seed's least, a tile of another unit, and an atlas that looks for it unasked."""
    assert "least" not in make(tmp_path / "without", None).record["layers"][0]
    layer = make(tmp_path, None, least=True, seed=4).record["layers"][0]
    asked = {"steps": 3, "image": "sphere", "seed": 4, "extreme": "least"}
    found = patterns(open_model(module(), input_shape=SHAPE), "1", **asked)
    np.testing.assert_allclose(layer["least"], found.activations, rtol=1e-3, atol=1e-5)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    head = json.loads(re.findall(r"window.PELLUCID = (.*);</script>", page)[0])["layers"][0]
    (height, width), sheet = head["tile"], np.asarray(Image.open(tmp_path / "images" / head["sheets"][0]))
    assert sheet.shape[1] == head["tiles"] * width
    with np.load(tmp_path / "arrays" / "layer-000.npz", allow_pickle=False) as held:
        shown = pictures.pattern_tiles(held["least"], DEVIATIONS)
    for unit, tile in enumerate(shown):
        np.testing.assert_array_equal(sheet[unit * height : (unit + 1) * height, -width:], style.duotone(tile))


def test_judging_is_that_of_the_patterns_that_are_shown(tmp_path, data, monkeypatch):
    """Rejects patterns that are found again to be judged, the weaker variants alone, images that are scanned as the
    ones that had no part, and columns of another chunk's units."""
    calls, real = [], parts.patterns
    monkeypatch.setattr(parts, "patterns", lambda *a, **b: calls.append(b.get("extreme", "most")) or real(*a, **b))
    monkeypatch.setattr("pellucid.see.judge.judge.find", lambda *_, **__: pytest.fail("patterns were sought again"))
    layer = make(tmp_path, data, judge=True, layers=("1",), chunk=3).record["layers"][0]
    assert calls == ["most", "most", "least"] * 2
    model, asked = open_model(module(), input_shape=SHAPE), {"steps": 3, "image": "sphere"}
    one, two, least = (real(model, "1", **asked, **more) for more in ({}, {"seed": 1}, {"extreme": "least"}))
    own = judge(model, "1", patterns=(one, two, least), data=data.test, variants=2)
    judged = layer["judged"]
    assert (judged["judges"], judged["images"]) == (list(own.judges), 11)
    assert judged["columns"].keys() == own.columns.keys() - {"unit", "activation"}
    for name, column in judged["columns"].items():
        np.testing.assert_allclose(np.array(column, float), own.columns[name], rtol=1e-3, atol=1e-4, err_msg=name)


REFUSED = {
    "a report that nobody would see": ({"report": True}, "no use for the setting 'report'"),
    "a comparison that nobody would see": ({"compare": True}, "no use for the setting 'compare'"),
    "a palette beside that of the pages": ({"palette": "viridis"}, "no use for the setting 'palette'"),
    "a photograph": ({"image": "near"}, "begins with no photograph"),
    "the least beside the least": ({"least": True, "extreme": "least"}, "leave out 'extreme'"),
    "the least, judged as the most": ({"judge": True, "extreme": "least"}, "leave out 'extreme'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_an_atlas_would_ignore_is_refused(tmp_path, case):
    """Rejects settings that are taken and do nothing, and a folder that is left half made."""
    settings, said = REFUSED[case]
    with pytest.raises(PellucidError, match=said):
        make(tmp_path / "new", None, **settings)
    assert not (tmp_path / "new").exists()


def test_too_few_images_to_judge_by_are_refused_at_once(tmp_path):
    """Rejects an hour of patterns before the word that they cannot be judged."""
    with pytest.raises(PellucidError, match=r"Only half of 5 images.*give 8 or more"):
        make(tmp_path / "new", Data(*[Split(np.zeros((5, *SHAPE), np.float32))] * 3), judge=True)
    assert not (tmp_path / "new").exists()


def test_a_page_grows_chunk_by_chunk(tmp_path, data, monkeypatch):
    """Rejects a page that comes when all is done, one whose numbers are of other units than its pictures, pictures
    that move when others come, and a page of an unfinished atlas that passes for whole."""
    seen, real = [], site.Site.write_page

    def noted(self, missing=0):
        page = real(self, missing)
        text = page.read_text(encoding="utf-8")
        index = json.loads(re.findall(r"window.PELLUCID = (.*);</script>", text)[0])
        sheets = [np.asarray(Image.open(tmp_path / "images" / one["sheets"][0])) for one in index["layers"]]
        seen.append((missing, [one["units"] for one in index["layers"]], sheets, "still being made" in text))
        script = (tmp_path / "data" / f"layer-{len(sheets) - 1:03d}.js").read_text(encoding="utf-8")
        assert script.count('"variants"') == index["layers"][-1]["units"] == len(index["layers"][-1]["activation"])
        return page

    monkeypatch.setattr(site.Site, "write_page", noted)
    monkeypatch.setattr(atlases, "SHARE", 0)
    make(tmp_path, data, chunk=2)
    assert [(missing, units) for missing, units, _, _ in seen] == [
        *((6, [2]), (4, [4]), (3, [5]), (1, [5, 2]), (0, [5, 3]))
    ]
    assert [unfinished for *_, unfinished in seen] == [True, True, True, True, False]
    first, last = seen[0][2][0], seen[-1][2][0]
    assert first.shape == last.shape
    np.testing.assert_array_equal(first[: 2 * SHAPE[1]], last[: 2 * SHAPE[1]])


def test_progress_runs_once_from_nothing_to_the_end(tmp_path, data):
    """Rejects a bar for each part or each pattern, one that jumps back, and one that stops before the end; where half
    was there already, one that begins in the middle."""
    told: list[tuple[int, int]] = []

    def run(**settings) -> list[float]:
        told.clear()
        model = open_model(module(), input_shape=SHAPE)
        asked = {**QUICK, "layers": CHOSEN, **settings}
        atlas(model, tmp_path, data, progress=quiet, ticks=lambda done, total: told.append((done, total)), **asked)
        return [done / total for done, total in told]

    shares = run()
    assert shares == sorted(shares)
    (whole,) = {total for _, total in told}
    assert shares[0] < 0.2  # one of a few pieces
    assert shares[-1] == 1
    assert sum(0.2 < share < 0.9 for share in shares) > 5
    (tmp_path / "arrays" / "layer-001.npz").unlink()
    again = run()
    assert again == sorted(again)
    assert again[0] < 0.2
    assert again[-1] == 1
    assert told[-1][1] < whole


def test_layers_of_one_s_own_network_are_seen_behind_their_norms_and_sums():
    """Rejects a convolution before its batch norm, whose maps have no rectifier yet, and one behind its own."""
    model = open_model(Network("resnet-8", input_shape=(3, 12, 10)))
    names = [layer.name for layer in atlases._choose_layers(model, AtlasSettings())]
    assert names == ["norm1", "norm2", "sum1", "norm4", "sum2", "norm6", "sum3", "logits"]
    plain = open_model(Network("mnist-cnn"))
    assert [layer.name for layer in atlases._choose_layers(plain, AtlasSettings())] == [
        *("conv1", "conv2", "conv3", "dense", "logits")
    ]


def test_links_lead_through_a_batch_norm():
    """Rejects a norm's factors taken for the weights of the convolution that it follows."""
    plan = [Conv(3, 2, "linear"), BatchNorm(), Conv(4, 2, "linear"), BatchNorm(), Flatten(), Dense(2, "linear")]
    net = Network(plan, input_shape=(1, 6, 5), scaling="unit")
    model = open_model(net)
    assert np.array_equal(model.weights_between("norm1", "norm2"), net.parameters["conv2.weight"])
    assert model.weights_between("conv1", "norm1") is None
    assert model.weights_between("norm2", "logits") is net.parameters["logits.weight"]


def test_what_a_unit_costs_is_what_ablate_says(tmp_path, data):
    """Rejects changes of another unit, classes of the model in place of the data's, and `ablate` without labels, which
    an atlas would make in vain."""
    found = make(tmp_path, data, ablate=True, chunk=2).record["layers"][0]
    drop = ablate(open_model(module(), input_shape=SHAPE), "1", None, data.test)
    np.testing.assert_allclose(found["ablate"], drop.changes, rtol=1e-4)
    for unit, entry in enumerate(found["entries"]):
        np.testing.assert_allclose(entry["ablate_classes"], drop.class_changes[unit], rtol=1e-4)
    bare = Data(*(Split(part.images) for part in (data.train, data.dev, data.test)))
    for given in (None, bare):
        with pytest.raises(PellucidError, match="leave out 'ablate'"):
            make(tmp_path / "none", given, ablate=True)
    assert not (tmp_path / "none").exists()


def test_likes_and_parts_are_told_of_the_unit_itself(made, record, data):
    """Rejects likes by the answers of a part of the images alone, and parts for an image that is not the strongest."""
    net, images = module().eval(), np.concatenate([data.train.images, data.dev.images])
    with torch.no_grad():
        maps = net[:2](torch.from_numpy(images))
    means = maps.mean((2, 3)).numpy()
    layer, last = record["layers"]
    alive = np.flatnonzero(means.any(0)).tolist()
    assert SILENT not in alive
    assert len(alive) > 1
    correlations = np.corrcoef(means[:, alive].T)
    for row, unit in enumerate(alive):
        told = dict(map(tuple, layer["entries"][unit]["near"]))
        for column, other in enumerate(alive):
            if other != unit:
                assert told[other] == pytest.approx(correlations[row, column], abs=1e-4)
    assert [len(one) for one in layer["plane"]] == [2] * 5
    assert sorted(unit for unit, _ in layer["alike"][0]) == [1, 2, 3, 4]
    assert "made" not in layer["entries"][0]
    for unit, entry in enumerate(last["entries"]):
        at = entry["examples"][0]["index"] + (len(data.train) if entry["examples"][0]["split"] == "dev" else 0)
        with torch.no_grad():
            logit = float(net(torch.from_numpy(images[at : at + 1]))[0, unit])
        own = entry["made"]
        assert own["sum"] == pytest.approx(logit, rel=1e-3, abs=1e-5)
        assert own["bias"] == pytest.approx(float(net[4].bias.detach()[unit]), rel=1e-3)
    parts = [abs(value) for _, value in last["entries"][0]["made"]["parts"]]
    assert len(parts) == len(alive) <= 3 or len(parts) == 3
    assert parts == sorted(parts, reverse=True)
