"""The tabs' handlers, called as the app calls them: two windows, long work, stops, and what is refused."""

import base64
import io
import re
import threading
import zipfile
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from pellucid.data.photos import bundled_photo
from pellucid.errors import PellucidError
from pellucid.learn.io.config import ARCHITECTURES
from pellucid.learn.layers import Dense, Flatten
from pellucid.learn.network import Network
from pellucid.see.dataset.activations import inspect
from pellucid.see.dream.dream import dream as dreamt
from pellucid.see.dream.dream import limit_size
from pellucid.see.patterns.results import Patterns as Found
from pellucid.settings import AtlasSettings, DreamSettings, PatternSettings, TrainSettings, dream_presets
from pellucid.show.studio import controls
from pellucid.show.studio.app import sheet
from pellucid.show.studio.context import show_errors
from pellucid.show.studio.html import activation_text, preset_pictures
from pellucid.show.studio.tabs.draw import DrawTab, session_image
from pellucid.show.studio.tabs.dream import DreamTab
from pellucid.show.studio.tabs.patterns import PatternsTab, parse_units
from pellucid.show.studio.tabs.train import TrainTab
from pellucid.show.style import activation_tones, duotone
from tests.show.studio.conftest import NAME, event, here, strokes, window
from tests.show.studio.test_canvas import address


def values(tab, group, **changed):
    """What the controls of a tab say: the defaults, but for what is changed."""
    return [changed.get(name, controls.shown_value(group.model_fields[name].default)) for name in tab._names]


def png(image):
    memory = io.BytesIO()
    Image.fromarray(np.rint(255 * image).astype(np.uint8)).save(memory, "PNG")
    return memory.getvalue()


def test_a_stroke_is_read_in_every_layer(context):
    """Rejects an answer to another image than the one that was drawn."""
    tab = DrawTab(context)
    said, answer, inside, asked = tab.draw(window(), event(pixels=address(strokes())), NAME)
    assert f"{NAME} reads" in said
    assert answer.count("<dt>") == 3
    assert all(f"<h2>{layer}</h2>" in inside for layer in ("conv1", "pool1", "dense"))
    assert tab.again(window(), NAME)[:4] == (said, answer, inside, asked)
    assert tab.draw(window(), event(pixels=address(0 * strokes())), NAME)[1:] == ("", "", "")


def test_strokes_that_were_overtaken_change_nothing(context):
    """Rejects an answer to earlier strokes that takes the place of the last one's."""
    tab = DrawTab(context)
    late = tab.draw(window(), event(pixels=address(strokes(20)), number=7), NAME)
    assert tab.draw(window(), event(pixels=address(strokes()), number=6), NAME) == (gr.skip(),) * 4
    assert tab.again(window(), NAME)[:4] == late
    assert tab.draw(window("two"), event(pixels=address(strokes()), number=1), NAME)[0] != gr.skip()


def test_a_dropped_picture_is_read_as_a_drawing_is(context):
    """Rejects ink on paper that is read as if it were light, and that nobody is told of."""
    tab, model = DrawTab(context), context.registry.model(None, NAME)
    tab.draw(window(), event(pixels=address(strokes())), NAME)
    assert "The picture is inverted, cropped" in tab.drop(window("two"), png(1 - strokes()), NAME)[0]
    one, two = (session_image(context.session(window(key)), model)[0] for key in ("one", "two"))
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"GIF89a broken", "no picture|damaged"),
        (png(np.random.default_rng(0).random((40, 40)))[:900], "damaged"),
        (png(np.zeros((1100, 1000))), "1000 x 1100 pixels, over"),
        (b"\0" * 1_100_000, "1.1 MB, over 1"),
        (None, "No picture arrived"),
    ],
)
def test_what_is_no_picture_ends_in_a_sentence(context, content, message):
    """Rejects a traceback, a bomb, and a file without end."""
    for drop in (
        lambda: DrawTab(context).drop(window(), content, NAME),
        lambda: DreamTab(context).show_dropped(window(), content),
    ):
        with pytest.raises(PellucidError, match=message):
            drop()


@pytest.mark.parametrize(
    "asked",
    [
        event(layer="conv1", unit=99),
        event(layer="conv1", unit=-1),
        event(layer="../conv1", unit=0),
        event(layer="conv1"),
        event(unit="0"),
    ],
)
def test_a_click_on_nothing_is_refused(context, asked):
    """Rejects an index that is taken from a window unseen."""
    with pytest.raises(PellucidError):
        list(DrawTab(context).look(window(), asked, NAME))


def test_a_click_shows_what_a_map_looks_for(context):
    """Rejects the pattern of another map."""
    *_, (_, _, html) = DrawTab(context).look(window(), event(layer="conv1", unit=4), NAME)
    assert "conv1, unit 4" in html


def test_a_click_shows_what_a_map_answers_to_the_drawing(context):
    """Rejects another map's answer, one as bright as if it were alone, and one that does not follow the strokes."""
    tab, model = DrawTab(context), context.registry.model(None, NAME)
    tab.draw(window(), event(pixels=address(strokes())), NAME)
    (_, asked, _), *_ = tab.look(window(), event(layer="conv1", unit=4), NAME)
    for shape in (strokes(), strokes(40).T):
        asked = tab.draw(window(), event(pixels=address(shape)), NAME)[3] if asked is None else asked
        inside = inspect(model, session_image(context.session(window()), model)[0], as_is=True).activations
        maps, own = inside["conv1"], inside["conv1"][4]
        mean, most = activation_text(float(own.mean())), activation_text(float(own.max()))
        assert f"mean {mean} · maximum {most}" in asked
        shown = Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([^\"]*)", asked)[1]))).convert("RGB")
        assert np.array_equal(np.asarray(shown), duotone(activation_tones(own, float(maps.max()))))
        asked = None
    (_, dense, _), *_ = tab.look(window(), event(layer="dense", unit=8), NAME)
    assert f"answers {activation_text(float(inside['dense'][8]))} to this image" in dense
    assert tab.again(window(), NAME)[3] == ""
    assert tab.draw(window("two"), event(pixels=address(strokes())), NAME)[3] == ""


def test_errors_are_told_in_the_first_output():
    """Rejects a sentence that never reaches the window, and outputs that are wiped by it."""

    def once():
        raise PellucidError("No.")

    def steps():
        yield "a", "b"
        raise PellucidError("No.")

    assert "No." in show_errors(once, 1)()
    first, rest = show_errors(once, 2)()
    assert "No." in first
    assert rest == gr.skip()
    assert next(show_errors(steps, 2)())[0] == "a"
    assert "No." in list(show_errors(steps, 2)())[1][0]


def evolve(tab, request, units="1 4", start="noise", **changed):
    quick = {"steps": 6, "candidates": 16, **changed}
    return list(tab.evolve(request, NAME, "conv1", units, start, *values(tab, PatternSettings, **quick)))


def test_patterns_evolve_and_can_be_downloaded(context):
    """Rejects downloads that are not what is shown."""
    tab = PatternsTab(context)
    rows = evolve(tab, window())
    assert "starts" in rows[0][0]
    said, html, picture, everything, film = rows[-1]
    assert "2 patterns" in said
    assert html.count("<span>4</span>") == 1
    found = Found.load(everything.value["path"])
    assert found.units.tolist() == [1, 4]
    assert Path(picture.value["path"]).read_bytes().startswith(b"\x89PNG")
    assert not film.visible
    assert evolve(tab, window(), "4")[-1][4].value["path"].endswith(".gif")


def test_patterns_begin_from_what_is_drawn_or_shown(context):
    """Rejects a start that is asked for and ignored."""
    tab, drawn = PatternsTab(context), DrawTab(context)
    for start in ("what is drawn", "the patterns shown"):
        with pytest.raises(PellucidError, match="start from noise"):
            evolve(tab, window(), start=start)
    drawn.draw(window(), event(pixels=address(strokes())), NAME)
    evolve(tab, window(), start="what is drawn", optimizer="normalized")
    model, session = context.registry.model(None, NAME), context.session(window())
    found = session.kept["patterns"][1].found
    assert np.allclose(found.film.images[0, 0], found.film.images[0, 1])
    assert np.allclose(
        found.film.images[0, 0], model.prepared(session_image(session, model)[0][None]).numpy()[0], atol=1e-5
    )
    evolve(tab, window(), start="the patterns shown", optimizer="normalized")
    again = session.kept["patterns"][1].found
    assert np.allclose(again.film.images[0], found.images, atol=1e-5)


def test_what_is_kept_stays_and_comes_along(context):
    """Rejects a keep that forgets, or that keeps another window's."""
    tab = PatternsTab(context)
    with pytest.raises(PellucidError, match="nothing to keep"):
        tab.keep(window())
    evolve(tab, window(), "1 4")
    tab.keep(window())
    evolve(tab, window(), "3")
    said, html, every = tab.keep(window())
    assert "3 patterns are kept" in said
    assert all(f"<span>{unit}</span>" in html for unit in (1, 3, 4))
    with zipfile.ZipFile(every.value["path"]) as archive:
        assert [name.partition(".")[0][-1] for name in archive.namelist()] == ["1", "4", "3"]
    with pytest.raises(PellucidError):
        tab.keep(window("two"))


def test_an_archive_that_was_not_finished_is_not_there(context, monkeypatch):
    """Rejects an archive that lies half-written where the disk is full."""
    tab = PatternsTab(context)
    evolve(tab, window(), "1 4")
    tab.keep(window())

    def refuse(*_):
        raise PellucidError("Cannot write: the disk is full.")

    monkeypatch.setattr("pellucid.show.studio.tabs.patterns.Photo.save", refuse)
    with pytest.raises(PellucidError, match="disk is full"):
        tab.keep(window())
    folder = context.session(window()).path("x").parent.parent
    assert len(list(folder.rglob("patterns.zip"))) == 1  # that of before
    assert list(folder.rglob(".pellucid-*")) == []


@pytest.mark.parametrize(
    ("words", "found"),
    [("3", (3,)), ("3 3,5", (3, 5)), ("0-3", (0, 1, 2, 3)), ("all", None), ("-1", (-1,)), ("5-5", (5,))],
)
def test_units_as_people_write_them(words, found):
    """Rejects a range without its end."""
    assert parse_units(words, 6) == found


@pytest.mark.parametrize("words", ["", "6", "x", "3-", "4-3", "-2", "1.5", "0-99", "٣-", "--1"])
def test_units_that_are_none_are_refused(words):
    """Rejects a traceback for a typing error."""
    with pytest.raises(PellucidError):
        parse_units(words, 6)


def test_a_stop_frees_the_worker(context):
    """Rejects a stop that waits for the end of the work, a hundred thousand steps away."""
    tab, request = PatternsTab(context), window()
    rows = tab.evolve(request, NAME, "conv1", "all", "noise", *values(tab, PatternSettings, steps=100_000))
    next(rows), next(rows)
    context.session(request).stop("patterns")
    last = list(rows)[-1]
    assert "Stopped after" in last[0]
    assert not context.session(request).running("patterns")


def dream(tab, request, photo="flower.jpg", preset=None, name=NAME, strength=0.35, units="4", **changed):
    given = [photo, preset, "goldfinch", strength, name, "conv1" if name else None, units]
    return tab.dream(request, *given, *values(tab, DreamSettings, **changed))


def test_a_photo_is_dreamt_on(context):
    """Rejects another dream than the library's, a download that is not the dream, and units read as something else."""
    tab = DreamTab(context)
    photo = np.random.default_rng(0).random((30, 40))
    tab.show_dropped(window(), png(photo))
    how = {"size": 40, "levels": 2, "rounds": 2, "steps": 3}
    rows = list(dream(tab, window(), "the photo dropped", units="auto, 4", **how))
    assert any("Round 2 of 2" in row[0] for row in rows)
    said, html, picture, film = rows[-1]
    assert f"{NAME}, dreamt by" in said
    assert 'class="compare"' in html
    given = np.asarray(Image.open(io.BytesIO(png(photo))), np.float32) / 255
    expected = dreamt(given, context.registry.model(None, NAME), layer="conv1", unit=["auto", 4], **how)
    pixels = np.asarray(Image.open(picture.value["path"]), np.float32) / 255
    assert np.abs(pixels - expected.image[0]).max() <= 0.51 / 255
    assert film.value["path"].endswith(".gif")


def test_a_preset_is_dreamt_octave_by_octave_at_one_size(context):
    """Rejects another preset, its own strength for the one that is set, and a picture that shrinks or jumps."""
    how = {"size": 90, "octaves": 2, "steps": 2}
    rows = list(dream(DreamTab(context), window(), preset="engraving", name=None, strength=0.7, **how))
    assert any("Octave 1 of 2, " in row[0] for row in rows)
    assert "Engraving, dreamt by" in rows[-1][0]
    shown = [str(row[1]) for row in rows if "<img" in str(row[1])]
    assert len(shown) > 2
    assert all('width="90" height="60"' in one for one in shown)
    expected = dreamt(limit_size(bundled_photo("flower.jpg"), 90), preset="engraving", strength=0.7, **how)
    pixels = np.asarray(Image.open(rows[-1][2].value["path"]), np.float32) / 255
    assert np.abs(np.moveaxis(pixels, 2, 0) - expected.image).max() <= 0.51 / 255


def test_a_preset_and_another_model_exclude_each_other(context):
    """Rejects a preset that is chosen and not dreamt, a model that goes on after it, and a strength that it hides."""
    tab = DreamTab(context)
    _, strength, classes, model, layer = tab.choose(window(), "engraving")
    assert (strength, classes.visible, model.value, layer.value) == (0.5, False, None, None)
    assert tab.choose(window(), "fur")[1] == gr.skip()
    assert tab.choose(window(), "class:")[2].visible
    ((_, layer, preset, classes),) = tab.other(window(), NAME)
    assert (layer.value, preset.value, classes.visible) == ("pool1", None, False)


def test_a_class_is_dreamt_by_its_name(context, monkeypatch):
    """Rejects a class that is shown and another, or none, that is dreamt."""
    asked = {}

    def told(*_: object, **given: object) -> None:
        asked.update(given)
        raise PellucidError("Enough.")

    monkeypatch.setattr("pellucid.show.studio.tabs.dream.dream", told)
    with pytest.raises(PellucidError, match="Enough"):
        list(dream(DreamTab(context), window(), preset="class:", name=None))
    assert asked["preset"] == "class:goldfinch"


@pytest.mark.parametrize("name", [*dream_presets(), "class"])
def test_each_preset_has_a_picture_of_itself(name):
    """Rejects a preset that was added without its picture (python docs/pictures.py thumbnails), and a large one."""
    content = base64.b64decode(preset_pictures()[name])
    assert len(content) < 10_000
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.size == (112, 112)
    assert f'[data-testid="{name}-radio-label"]' in sheet()


def test_a_dream_stops_too(context):
    """Rejects a dream that cannot be woken from, and one that says that it stopped where another took its place."""
    tab, request = DreamTab(context), window()
    for taken in (False, True):
        rows = dream(tab, request, steps=10_000, size=200, levels=3)
        next(rows), next(rows)
        context.session(request).stop("dream")
        if taken:
            context.session(request).begin("dream", lambda job: job.stopped.wait(20))
        assert any("Stopped" in row[0] for row in rows) is not taken


def train(tab, request, **changed):
    quick = {"epochs": 2, "batch": 32, "learning_rate": 0.1, "check": False, **changed}
    return tab.train(request, "digits", "mlp-70-30", *values(tab, TrainSettings, **quick))


def test_a_training_stops_goes_on_and_is_the_same(context):
    """Rejects a training that begins again, and one that a stop has changed."""
    tab, request = TrainTab(context, [None, None]), window()
    begun = False
    for row in train(tab, request):
        if not begun and 'class="curves' in str(row[1]):
            begun = True
            context.session(request).stop("train")
    trainer = context.session(request).kept["trainer"]
    batches = len(trainer.history.batches)
    assert 0 < batches < 76
    assert "The other tabs have it as 'trained here 1: mlp-70-30'" in row[0].replace("&#39;", "'")
    assert row[3].choices[0][0] == "trained here 1: mlp-70-30"
    *_, row = tab.go_on(request)
    assert len(trainer.history.batches) == 76
    *_, other = train(tab, window("two"))
    whole = Network.load(other[2].value["path"])
    resumed = Network.load(row[2].value["path"])
    for name, parameter in whole.parameters.items():
        assert np.array_equal(parameter, resumed.parameters[name]), name
    with pytest.raises(PellucidError, match="done all its epochs"):
        list(tab.go_on(request))


def test_what_was_trained_here_is_in_this_window_only(context):
    """Rejects a network that another window can see, and one that changes while it trains on."""
    tab, request = TrainTab(context, []), window()
    list(train(tab, request, epochs=1))
    name = context.registry.names(context.session(request))[0]
    ((_, layers),) = context.layers(request, name)
    assert layers.value == "flatten"
    with pytest.raises(PellucidError, match="no model"):
        list(context.layers(here("two"), name))


def test_the_settings_shown_suit_the_architecture(context):
    """Rejects settings of another architecture, a single look at few images, and SGD's learning rate for Adam."""
    tab = TrainTab(context, [])
    shown = dict(zip(tab._names, tab.recipe(window(), "digits", "mlp-deep")[1:], strict=True))
    assert shown["batch"]["value"] == 32
    assert shown["ema"]["value"] == 0.9999
    assert shown["epochs"]["value"] == 10
    shown = dict(zip(tab._names, tab.recipe(window(), "digits", "cnn-4-4-8-16")[1:], strict=True))
    assert shown["epochs"]["value"] == 21
    own = " ".join(map(str, ARCHITECTURES["mnist-cnn"].recipe["learning_rates"]))
    for optimizer, rate, rates in (("adam", 0.001, ""), ("momentum", 0.05, own)):
        found = [update["value"] for update in tab.rates(window(), "mnist-cnn", optimizer)[1:]]
        assert found == [rate, rates]


@pytest.mark.parametrize("changed", [{"learning_rate": 0}, {"epochs": 0.5}, {"learning_rates": "x"}])
def test_settings_out_of_range_are_refused_before_the_work(context, changed):
    """Rejects a training that begins with what it was not asked for."""
    with pytest.raises(PellucidError, match="Setting '"):
        list(train(TrainTab(context, []), window(), **changed))


@pytest.mark.parametrize("data", ["/etc/passwd", "../mnist", "none"])
def test_data_from_a_window_never_becomes_a_path(context, data):
    """Rejects a file that a window names."""
    with pytest.raises(PellucidError, match="not opened"):
        context.data(window(), data)


def test_two_windows_work_at_once(context):
    """Rejects one window's stop, or result, that reaches the other."""
    tab = PatternsTab(context)
    long = tab.evolve(window("one"), NAME, "conv1", "all", "noise", *values(tab, PatternSettings, steps=100_000))
    next(long), next(long)
    rows = []
    other = threading.Thread(target=lambda: rows.extend(evolve(tab, window("two"), "4")))
    other.start()
    other.join(10)
    assert "1 pattern in" in rows[-1][0]
    assert context.session(window("one")).running("patterns")
    context.session(window("two")).stop("patterns")
    next(long)
    assert context.session(window("one")).running("patterns")
    context.session(window("one")).stop("patterns")
    list(long)


def test_an_atlas_is_built_and_stopped(context):
    """Rejects a build that cannot be stopped, and a site that is not where it is said to be."""
    from pellucid.show.studio.tabs.atlas_tab import AtlasTab

    tab = AtlasTab(context)
    rows = tab.make(window(), NAME, "none", *values(tab, AtlasSettings, steps=3, variants=1))
    *_, (said, html) = rows
    assert "units of small" in said
    assert 'src="/atlas/' in html
    rows = tab.make(window(), NAME, "none", *values(tab, AtlasSettings, steps=100_000))
    next(rows)
    context.session(window()).stop("atlas")
    assert "Stopped" in list(rows)[-1][0]


def test_one_types_a_path_of_ones_own_images(context, tmp_path):
    """Rejects a list of names only, a path for a person elsewhere, and epochs that suit the bundled digits."""
    folder, rng = tmp_path / "mine", np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            Image.fromarray(rng.integers(0, 256, (9, 7), dtype=np.uint8)).save(folder / name / f"{number}.png")
    tab = TrainTab(context, [])
    suits = tab.recipe(here(), str(folder), "cnn-4-4-8-16")[1 + tab._names.index("epochs")]["value"]
    assert suits == TrainSettings.of(ARCHITECTURES["cnn-4-4-8-16"].recipe).for_images(20).epochs
    quick = {"epochs": 1, "batch": 4, "check": False}
    *_, row = tab.train(here(), str(folder), "mlp-70-30", *values(tab, TrainSettings, **quick))
    assert "The other tabs have it" in row[0]
    assert "cats" in row[1]
    network = Network.load(row[2].value["path"])
    assert network.input_shape == (1, 9, 7)
    for request in (window(), here(host="10.0.0.7"), here(headers={"X-Forwarded-For": "10.0.0.7"})):
        with pytest.raises(PellucidError, match="typed on another machine is not opened"):
            tab.recipe(request, str(folder), "mlp-70-30")
    with pytest.raises(PellucidError, match="nothing/here"):
        tab.recipe(here(), "nothing/here", "mlp-70-30")


def test_a_model_is_opened_by_the_name_that_is_typed(context, tmp_path):
    """Rejects a list of names only, a model that other windows get, a factory that runs, and typing from elsewhere;
    and silence while a model is opened."""
    path, tab, request = str(tmp_path / "typed.safetensors"), PatternsTab(context), here()
    Network(
        [Flatten(), Dense(4), Dense(3, activation="linear")], input_shape=(1, 5, 3), classes=3, scaling="unit"
    ).save(path)
    (opening, _), (told, layers) = context.layers(request, path)
    assert f"Opening {path}" in opening
    assert f"{path} is open" in told
    assert layers.value == "flatten"
    asked = (path, "dense", "0", "noise", *values(tab, PatternSettings, steps=3, candidates=8))
    assert "1 pattern in" in list(tab.evolve(request, *asked))[-1][0]
    assert path not in context.registry.names(context.session(window("two")))
    for name, words in (
        ("os:getcwd", "would run code"), ("mnist-cn", "mnist-cnn"), (str(tmp_path / "no.keras"), "no.keras"),
        ("timm:resnet5000", "timm"), ("trained here 1: mlp", "no model"),
    ):  # fmt: skip
        with pytest.raises(PellucidError, match=words):
            list(context.layers(request, name))
    for elsewhere in (window("two"), here("two", host="10.0.0.7"), here("two", headers={"Via": "1.1 proxy"})):
        with pytest.raises(PellucidError, match="typed on another machine is not opened"):
            list(context.layers(elsewhere, path))
