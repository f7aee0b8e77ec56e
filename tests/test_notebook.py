"""Notebooks: what results show of themselves, as a kernel asks for it."""

from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import pellucid as pc
from learn import small
from pellucid.data.figures import ShownFigure, new_axes
from pellucid.data.splits import summarize
from pellucid.learn.layers import Dense, Flatten
from pellucid.learn.network import Network
from pellucid.learn.training import train
from pellucid.show.figures.axes import pixel_figure


class Reader(HTMLParser):
    """The words of a page, and the pictures in it; every tag that is opened is closed."""

    def __init__(self, page):
        super().__init__()
        self.words, self.pictures, self.open = [], 0, []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.pictures += tag in ("img", "svg")
        if tag != "img":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data.strip())


@pytest.fixture(scope="module")
def trained():
    """A network, its data, its history with checked gradients, and scores."""
    net, data = small.network(), small.data()
    return net, data, train(net, data, epochs=2, batch=16, progress=False)


def test_every_result_shows_itself(trained):
    """Rejects a raw dataclass of sixty thousand characters, and a table without a picture."""
    net, data, history = trained
    inside = pc.inspect(net, data.test.images[0])
    scores = pc.evaluate(net, data.test)
    pages = {type(each).__name__: Reader(each._repr_html_()) for each in (data, net, history, inside, scores)}
    assert {name: page.pictures >= 1 for name, page in pages.items()} == dict.fromkeys(pages, True)
    assert pages["History"].pictures == 2
    said = {name: "\n".join(page.words) for name, page in pages.items()}
    assert f"{history.epochs[-1].dev_accuracy:.2%}" in said["History"]
    assert all(name in said["Network"] for name in net.names)
    assert summarize(data) in said["Data"]
    assert "\nconv1, up to" in said["Activations"]
    counts = [line.split()[2:] for line in said["Scores"].splitlines()[2:]]
    assert counts == [list(map(str, row)) for row in scores.confusion.tolist()]
    assert Reader(history.gradients._repr_html_()).words == [str(history.gradients)]
    assert len(repr(history)) + len(repr(scores)) < 160


@pytest.mark.parametrize(("channels", "classes"), [(1, 1), (3, 40), (2, 3)])
def test_other_shapes_show_themselves_too(channels, classes):
    """Rejects what knows gray images, ten classes and convolutions only."""
    net = Network([Flatten(), Dense(50), Dense(classes, "linear")], input_shape=(channels, 5, 9))
    images = np.random.default_rng(0).random((6, channels, 5, 9), dtype=np.float32)
    split = small.Split(images, np.arange(6) % classes)
    data = small.Data(split, split, split, name="<mine>", classes=tuple(f"<{label}>" for label in range(classes)))
    history = train(net, data, epochs=2, progress=False, check=False)
    for shown in (net, data, history, pc.evaluate(net, split), pc.inspect(net, images[0])):
        assert "<mine>" not in shown._repr_html_()
        Reader(shown._repr_html_())
    empty = type(history)(history.settings)
    assert empty._repr_html_() == repr(empty)


def test_a_dream_is_a_picture():
    """Rejects a dream of which a notebook shows the size in words."""
    photo = np.random.default_rng(0).random((3, 33, 47), dtype=np.float32)
    dream = pc.dream(photo, "mnist-cnn", layer="conv1", unit=3, method="tiles", rounds=1, steps=1)
    assert Reader(dream._repr_html_()).pictures == 1
    assert 'width="47" height="33"' in dream._repr_html_()


def test_figures_and_axes_are_pictures_without_a_word_to_matplotlib(tmp_path):
    """Rejects a figure of which a notebook shows its address in memory."""
    for shown in (pixel_figure(300, 200)[0], new_axes(), ShownFigure()):
        path = tmp_path / "shown.png"
        path.write_bytes(shown._repr_png_())
        with Image.open(path) as picture:
            assert min(picture.size) >= 200
