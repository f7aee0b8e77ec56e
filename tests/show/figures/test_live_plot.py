"""Live: what is drawn of a training while it runs, and that drawing changes nothing."""

import io
import sys
from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from learn import small
from pellucid.data.html import table
from pellucid.errors import PellucidError
from pellucid.learn.backprop_trace import trace_backprop
from pellucid.learn.layers import Dense, Flatten
from pellucid.learn.metrics import Scores
from pellucid.learn.network import Network
from pellucid.learn.training import train
from pellucid.see.dataset.class_means import ClassMeans
from pellucid.settings import CallbackSettings, TrainSettings
from pellucid.show.callbacks import save_outputs, training_callbacks
from pellucid.show.console import scores_text
from pellucid.show.figures import live_plot
from pellucid.show.figures.curves import curves_figure, log_axis
from pellucid.show.figures.live_plot import Live, TensorBoardLog, in_notebook
from pellucid.show.figures.pictures import class_means_figure
from pellucid.show.figures.training import training_figure
from pellucid.show.style import LIGHT

QUICK = {"batch": 16, "learning_rate": 0.1, "check": False, "progress": False}


@pytest.fixture(scope="module")
def told():
    """A training with everything in it: two epochs, ridge, test scores."""
    net = small.network()
    return net, train(net, small.data(), epochs=2, ridge=0.1, test=True, **QUICK)


def words(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def bars(figure):
    """Colours of all bars that are wider than nothing."""
    return [patch.get_facecolor()[:3] for patch in figure.axes[0].patches if abs(patch.get_height()) > 0]


def test_the_figure_names_every_layer_and_what_is_silent(told):
    """Rejects a dead layer that nobody is told of, and a flatten shown as a layer of its own."""
    net, history = told
    dead = net.with_parameters(net.parameters | {"dense2.bias": np.full(8, -1000, np.float32)})
    image, label = small.data().dev.images[0], 0
    said = words(training_figure(history, trace_backprop(dead, image, label)))
    assert {"conv1", "pool1", "dense1", "dense2"} <= set(said)
    assert "flatten" not in said
    assert "silent for this image: dense2" in said
    assert "Epoch 2, batch 5" in said
    assert not [
        line for line in words(training_figure(history, trace_backprop(net, image, label))) if "silent for" in line
    ]


@pytest.mark.parametrize("right", [True, False])
def test_the_truth_is_green_and_a_wrong_guess_red(told, right):
    """Rejects colours by rank, and a right guess in red."""
    net, history = told
    image = small.data().dev.images[0]
    label = int(net.predict(image[None]).argmax())
    label = label if right else (label + 1) % 3
    figure = training_figure(history, trace_backprop(net, image, label), classes=["ape", "bee", "cat"])
    assert (to_rgb(LIGHT.truth) in bars(figure), to_rgb(LIGHT.wrong) in bars(figure)) == (True, not right)
    assert any(line.startswith(f"{['ape', 'bee', 'cat'][label]}: ") for line in words(figure))


@pytest.mark.parametrize("classes", [1, 2, 40])
def test_networks_without_convolutions_and_with_many_classes_are_drawn(classes):
    """Rejects a figure made for ten classes and four convolutions."""
    net = Network([Flatten(), Dense(7), Dense(classes, "linear")], input_shape=(3, 5, 9))
    split = small.Split(np.random.default_rng(0).random((6, 3, 5, 9), dtype=np.float32), np.arange(6) % classes)
    history = train(net, small.Data(split, split, split), epochs=1, progress=False, check=False)
    figure = training_figure(history, trace_backprop(net, split.images[0], 0))
    assert {"input", "dense"} <= set(words(figure))
    assert "filters now" not in words(figure)
    assert len(figure.axes[0].patches) == 2 * classes  # a probability and an error each
    for drawn in (figure, curves_figure(history)):
        drawn.savefig(io.BytesIO(), format="png")


def named(axes):
    """What stands at the ends of curves -> the height there, in axes' shares."""
    return {text.get_text(): text.xyann[1] for text in axes.texts if hasattr(text, "xyann")}


def test_the_curves_are_those_of_the_history(told):
    """Rejects a curve of something else, and one of the test images where dev is written."""
    _, history = told
    loss, accuracy, error = curves_figure(history).axes[1:4]
    assert np.array_equal(loss.lines[0].get_ydata(), history.column("loss"))
    np.testing.assert_allclose(loss.lines[0].get_xdata(), np.arange(1, 11) / 5)
    np.testing.assert_allclose(loss.lines[2].get_ydata(), [epoch.dev_loss for epoch in history.epochs])
    np.testing.assert_allclose(loss.lines[2].get_xdata(), [1, 2])
    np.testing.assert_allclose(loss.lines[3].get_ydata(), history.column("cost"))
    wanted = {1: "train_accuracy", 3: "dev_accuracy", 4: "test_accuracy"}
    for line, name in wanted.items():
        told = [100 * getattr(epoch, name) for epoch in history.epochs]
        np.testing.assert_allclose(accuracy.lines[line].get_ydata(), told)
    assert np.array_equal(accuracy.lines[0].get_ydata(), 100 * history.column("accuracy"))
    np.testing.assert_allclose(error.lines[1].get_ydata(), 100 * history.column("ridge_share"))
    axes = curves_figure(history).axes
    titles = [each.get_title(loc="left") for each in axes[1:]]
    silent, ratio = axes[5], axes[7]
    assert (titles[4], titles[6]) == (
        "silent units of each layer, %",
        "change of each layer's weights in a step / weights",
    )
    assert len(silent.lines) == 2  # of conv1 and dense2; the others have no silence
    column = history.column("update_ratio")
    taken = column[~np.isnan(column).all(axis=1), 0]
    np.testing.assert_allclose(ratio.lines[0].get_ydata(), taken)


def test_an_average_reaches_no_further_than_the_run_allows(told):
    """Rejects an average of a hundred batches over a run of ten: it said 64% where the epoch had 89%."""
    _, history = told
    assert history.window == 1
    many = replace(history, batches=history.batches * 100)
    assert many.window == 50
    assert replace(many, settings=TrainSettings(ema=0.9)).window == 10


def test_each_name_stands_at_the_end_of_its_own_curve_and_on_no_other(told):
    """Rejects names in a fixed order, names on top of each other, and names that leave the plot."""
    _, history = told
    for axes in curves_figure(history).axes[1:8]:
        ends = named(axes)
        assert all(-0.01 <= height <= 1.01 for height in ends.values())
        heights = sorted(ends.values())
        assert np.diff(heights).min(initial=1) > 0.08
        last = {text.get_text(): text.xy[1] for text in axes.texts if hasattr(text, "xyann")}
        assert sorted(ends, key=ends.get) == sorted(last, key=lambda name: (last[name], ends[name]))


@pytest.mark.parametrize(
    ("low", "high"), [(0.9, 1.1), (1, 1), (2.1, 4.9), (3e-7, 2e-6), (0.04, 31), (1e-9, 5e4), (1, 10)]
)
def test_a_logarithmic_axis_has_two_numbers_at_least(low, high):
    """Rejects an axis with a single tick, and one whose numbers run into each other."""
    axes = Figure().subplots()
    log_axis(axes, low, high)
    bottom, top = axes.get_ylim()
    ticks = axes.get_yticks()
    assert bottom <= low <= high <= top
    assert 2 <= len(ticks) <= 9
    assert all(bottom <= tick <= top for tick in ticks)


def test_the_picture_is_redrawn_every_so_many_batches_and_changes_nothing(tmp_path, monkeypatch):
    """Rejects a picture at the end only, a file that is seen half-written, and a training that is disturbed."""
    path, sizes, steps = tmp_path / "live.png", [], []
    live = Live(path, every=4)
    draw = Live.draw
    monkeypatch.setattr(
        Live, "draw", lambda self, trainer: steps.append(len(trainer.history.batches)) or draw(self, trainer)
    )

    def look(trainer):
        live.batch(trainer)
        if path.exists():
            with Image.open(path) as picture:
                picture.load()
                sizes.append(picture.size)
        assert {entry.name for entry in tmp_path.iterdir()} <= {"live.png"}

    net, rival = small.network(), small.network()
    train(net, small.data(), epochs=2, on_batch=look, **QUICK)
    train(rival, small.data(), epochs=2, **QUICK)
    assert steps == [4, 8, 10]  # and the last state, whatever `every` says
    assert len(sizes) == 7
    assert sizes[0][0] > 1000
    assert small.same(net, rival)


def test_a_notebook_s_picture_is_redrawn_in_its_place(monkeypatch):
    """Rejects a picture under the other, and a terminal's IPython taken for a notebook."""
    shown, updates = [], []
    handle = SimpleNamespace(update=updates.append)
    display = SimpleNamespace(
        Image=lambda png: png, display=lambda picture, display_id: shown.append(picture) or handle
    )
    shell = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    assert not in_notebook()
    shell.kernel = "here"
    assert in_notebook()
    train(small.network(), small.data(), on_batch=Live(every=2).batch, epochs=1, **QUICK)
    assert (len(shown), len(updates)) == (1, 2)
    assert shown[0].startswith(b"\x89PNG")
    assert shown[0] != updates[0]


def test_a_film_holds_the_whole_training_also_where_it_stopped_early(tmp_path, monkeypatch):
    """Rejects pictures that replace each other, a first or last state that is missing, too many frames, and too few."""
    monkeypatch.setattr(live_plot, "FEWEST_FRAMES", 4)
    for every in (2, 50):
        with Live(tmp_path / "run.webp", every=every) as live:
            train(small.network(), small.data(), on_batch=live.batch, epochs=2, **QUICK)
        with Image.open(tmp_path / "run.webp") as film:
            assert film.n_frames == 6  # after batches 1, 2, 4, 6, 8 and 10
    monkeypatch.setattr(live_plot, "MOST_FRAMES", 4)

    def stop(trainer):
        live.batch(trainer)
        if len(trainer.history.batches) == 7:
            raise KeyboardInterrupt

    live = Live(tmp_path / "stopped.gif", every=1)
    with pytest.raises(KeyboardInterrupt), live:
        train(small.network(), small.data(), epochs=2, on_batch=stop, **QUICK)
    with Image.open(tmp_path / "stopped.gif") as film:
        assert film.n_frames == 4  # after batches 1, 3, 6 (every other one by then) and 7
    assert [entry.name for entry in tmp_path.iterdir() if "live" in entry.name] == []


@pytest.mark.parametrize(
    ("options", "sentence"), [({"every": 0}, "every 0 batches"), ({"path": "live.txt"}, "ends in '.txt'")]
)
def test_what_cannot_be_drawn_is_refused_before_the_work(options, sentence):
    """Rejects an error after the first fifty batches."""
    with pytest.raises(PellucidError, match=sentence):
        Live(**options)


def test_without_tensorboard_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    """Rejects an ImportError."""
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(PellucidError, match=r"install it: pip install 'pellucid\[tensorboard\]'"):
        TensorBoardLog(tmp_path / "log")
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_gets_the_numbers_of_the_history(tmp_path):
    """Rejects numbers under another step, and epochs that are forgotten."""
    pytest.importorskip("tensorboard", reason="the extra 'tensorboard' is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with TensorBoardLog(tmp_path / "log", every=2) as log:
        history = train(small.network(), small.data(), epochs=2, on_batch=log.batch, on_epoch=log.epoch, **QUICK)
    read = EventAccumulator(str(tmp_path / "log"))
    read.Reload()
    losses = {event.step: event.value for event in read.Scalars("batch/loss")}
    assert losses == pytest.approx(dict(zip(range(2, 11, 2), history.column("loss")[1::2], strict=True)))
    assert [event.step for event in read.Scalars("epoch/dev accuracy")] == [5, 10]
    assert {"dead/conv1", "gradient norm/conv1", "update ratio/dense1"} <= set(read.Tags()["scalars"])


def test_what_is_asked_for_is_kept(tmp_path, told):
    """Rejects a file that is announced and not there."""
    net, history = told
    settings = CallbackSettings(
        live=tmp_path / "live.png",
        live_batches=2,
        curves=tmp_path / "curves.svg",
        history=tmp_path / "told.csv",
        tables=tmp_path / "tables",
    )
    with training_callbacks(settings) as (on_batch, on_epoch):
        train(small.network(), small.data(), on_batch=on_batch, on_epoch=on_epoch, epochs=1, **QUICK)
    written = save_outputs(settings, net, history)
    assert written == [settings.live, settings.curves, settings.history, settings.tables]
    assert all(path.exists() for path in written)
    assert small.same(Network.load(settings.tables), net)
    assert save_outputs(CallbackSettings(), net, history) == []


def test_a_class_without_images_keeps_its_place():
    """Rejects nine pictures for ten classes, and a black picture that looks like an average."""
    images = np.random.default_rng(0).random((3, 1, 9, 7), dtype=np.float32)
    figure = class_means_figure(ClassMeans(images, np.array([4, 0, 1200]), 0.9, ("ape", "bee", "cat")))
    assert len(figure.axes[0].images) == 2
    assert words(figure) == ["ape", "of 4", "bee", "none above 0.9", "cat", "of 1,200"]


@pytest.mark.parametrize("size", [(10, 32), (230, 150)])
def test_averages_of_any_shape_stand_apart(size):
    """Rejects a gap under a low picture, a large one that covers the next, and a long name that covers its number."""
    found = ClassMeans(np.full((7, 3, *size), 0.5, np.float32), np.full(7, 3), 0.9, ("fourteen words",) * 7)
    figure = class_means_figure(found)
    (axes,) = figure.axes
    boxes = [one.get_window_extent() for one in axes.images] + [one.get_window_extent() for one in axes.texts]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    first, below = axes.images[0].get_window_extent(), axes.texts[0].get_window_extent()
    assert 0 <= first.y0 - below.y1 < below.height


def test_of_many_classes_those_that_have_an_average_are_drawn():
    """Rejects a thousand places, nearly all of them empty, and the name of the third class under the first picture."""
    images, counts = np.full((50, 1, 4, 6), 0.5, np.float32), np.zeros(50, np.int64)
    with pytest.raises(PellucidError, match="No image has a probability above"):
        class_means_figure(ClassMeans(images, counts, 0.9))
    counts[[30, 3]] = 2
    figure = class_means_figure(ClassMeans(images, counts, 0.9, (*map(str, range(30)), "a pasture of long names")))
    assert words(figure) == ["3", "of 2", "a pasture o...", "of 2"]


def test_a_table_aligns_numbers_to_the_right():
    """Rejects columns that shift where a cell is long."""
    assert table(["name", "count"], [["a", 5], ["longer", 1200]]).splitlines() == [
        "name    count",
        "a           5",
        "longer   1200",
    ]


def test_scores_in_words_have_a_dash_where_there_is_no_share():
    """Rejects nan% for a class that is never guessed."""
    text = scores_text(Scores(0.5, 1.0, np.array([[1, 0], [1, 0]]), np.array([0, 0]), ("ape", "bee")))
    assert text.splitlines()[-2:] == ["ape         1     50.00%  100.00%", "bee         1          -    0.00%"]
