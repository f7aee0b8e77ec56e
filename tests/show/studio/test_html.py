"""Pieces: HTML that says what it shall, exactly, whatever names come from outside."""

import base64
import io
import re

import numpy as np
from PIL import Image

from pellucid.errors import PellucidError
from pellucid.show import style
from pellucid.show.sprites import data_uri
from pellucid.show.studio import html

HOSTILE = "</p><img src=x onerror=alert(1)>\"'"


def picture(address):
    """The pixels behind a `data:` address."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB"))


def test_names_from_outside_stay_words():
    """Rejects a model, a layer or a message that becomes part of the page."""
    maps = np.ones((2, 3, 4), np.float32)
    markup = (
        html.status_line(HOSTILE)
        + html.error_line(PellucidError(HOSTILE))
        + html.class_bars(np.array([0.25, 0.75]), [HOSTILE, "b"])
        + html.layer_sections({HOSTILE: maps, "dense" + HOSTILE: np.ones(5, np.float32), "out": np.ones(2)}, 2)
        + html.pattern_picture(maps[:1], HOSTILE)
        + html.comparison("data:a", "data:b", (HOSTILE, HOSTILE), (3, 4))
    )
    assert "<img src=x" not in markup
    assert markup.count("onerror") == markup.count("onerror=alert(1)&gt;")


def test_a_picture_is_exact():
    """Rejects pixels that are lost or tinted otherwise than in figures."""
    grays = np.arange(256, dtype=np.uint8).reshape(8, 32)
    assert np.array_equal(picture(data_uri(grays, "png")), style.duotone(grays))


def test_every_tile_is_where_its_place_says():
    """Rejects a wall whose buttons show their neighbours."""
    grays = np.random.default_rng(0).integers(0, 256, (11, 5, 7), dtype=np.uint8)
    markup = html.tile_gallery(grays, range(20, 31), ["1.0"] * 11, layer="conv1")
    whole = picture(re.search(r"url\((data:[^)]*)\)", markup)[1])
    places = re.findall(r'data-unit="(\d+)".*?--u:(\d+);--f:(\d+)', markup)
    assert [int(unit) for unit, _, _ in places] == list(range(20, 31))
    for index, (_, column, row) in enumerate(places):
        top, left = 5 * int(row), 7 * int(column)
        assert np.array_equal(whole[top : top + 5, left : left + 7], style.duotone(grays[index]))


def test_bars_mark_the_guess_and_the_truth():
    """Rejects a wrong guess that looks right."""
    shares = np.array([0.2, 0.7, 0.1])
    assert re.findall(r'<div class="(\w*)"', html.class_bars(shares, "abc")) == ["", "best", ""]
    assert re.findall(r'<div class="(\w*)"', html.class_bars(shares, "abc", 1)) == ["", "truth", ""]
    assert re.findall(r'<div class="(\w*)"', html.class_bars(shares, "abc", 2)) == ["", "wrong", "truth"]


def test_a_layer_of_very_many_maps_shows_the_strongest():
    """Rejects a page that grows without end, and a choice that is not told."""
    maps = np.zeros((300, 2, 3), np.float32)
    maps[250:] = 1
    markup = html.layer_sections({"conv": maps, "out": np.ones(4)}, 4)
    units = [int(unit) for unit in re.findall(r'data-unit="(\d+)"', markup)]
    assert len(units) == html.MOST_MAPS
    assert set(range(250, 300)) <= set(units)
    assert "that answer most" in markup
