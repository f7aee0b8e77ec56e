"""The page is whole in itself, says what the results say, and no name breaks out of it."""

import json
import re
from html.parser import HTMLParser

import pytest
from jinja2 import UndefinedError

from pellucid.show import style
from pellucid.show.figures import curves
from pellucid.show.tour.page import frieze_places, render_page, themed_svg
from pellucid.show.tour.stages import Facts

VOID = {"meta", "img", "input", "br", "link", "hr", "path", "use"}


class Reader(HTMLParser):
    """Every element with its attributes and the text inside it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[list[str]] = []
        self._open: list[int] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.texts.append([])
        if tag not in VOID:
            self._open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.texts.append([])

    def handle_endtag(self, tag: str) -> None:
        while self._open and self.elements[self._open.pop()][0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        for index in self._open:
            self.texts[index].append(data)

    def all(self, tag: str, **wanted: str) -> list[tuple[dict[str, str | None], str]]:
        return [
            (attrs, "".join(text).strip())
            for (name, attrs), text in zip(self.elements, self.texts, strict=True)
            if name == tag and all(attrs.get(key.rstrip("_")) == value for key, value in wanted.items())
        ]


@pytest.fixture
def html(invented: Facts, pictures: Facts) -> str:
    return render_page(invented, pictures)


@pytest.fixture
def page(html: str) -> Reader:
    return Reader(html)


def outside(html: str) -> list[str]:
    """Whatever in a page could reach out of it."""
    bare = re.sub(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]*", "data:", html)
    reader = Reader(bare)
    found = [
        f"{tag} {name}={value}"
        for tag, attrs in reader.elements
        for name, value in attrs.items()
        if name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href", "background")
        and not (value or "").startswith(("#", "data:"))
    ]
    found += re.findall(r"@import[^;]*|url\((?!data:|#)[^)]*\)", bare)
    found += re.findall(r"(?:https?:|wss?:)?//[a-zA-Z][\w.-]*\.[a-z]{2,}\S*", bare)
    return found + [tag for tag, _ in reader.elements if tag in ("link", "iframe", "object", "embed", "base")]


def test_nothing_on_the_page_reaches_out_of_it(html: str):
    """Rejects remote fonts, scripts from elsewhere, and the addresses in matplotlib's SVG headers."""
    assert outside(html) == []
    assert "default-src 'none'" in html


@pytest.mark.parametrize(
    "leak",
    [
        '<img src="https://example.org/a.png" alt="a">',
        '<link rel="stylesheet" href="a.css">',
        "<style>@import 'a.css';</style>",
        "<style>p { background: url(a.png) }</style>",
        "<script>fetch('//example.org/a')</script>",
    ],
)
def test_a_page_that_reaches_out_would_be_seen(leak: str):
    """Rejects a test of the above that cannot fail."""
    assert outside(f"<p>{leak}</p>")


def test_every_picture_has_words(page: Reader):
    """Rejects an image, a drawing or a button that a screen reader cannot name."""
    for tag, attrs in page.elements:
        if tag == "img":
            assert attrs.get("alt"), attrs
            assert attrs.get("width")
            assert attrs.get("height")
        if attrs.get("role") in ("img", "region", "group") or tag == "input":
            assert attrs.get("aria-label") is not None, (tag, attrs)
    for attrs, text in page.all("button"):
        assert attrs.get("aria-label") or text


def test_every_reference_inside_the_page_is_there_once(page: Reader, html: str):
    """Rejects a contents list that leads nowhere, and two elements of one id."""
    ids = [attrs["id"] for _, attrs in page.elements if attrs.get("id")]
    assert len(ids) == len(set(ids))
    for address in re.findall(r"url\(#([^)]*)\)", html):
        assert address in ids
    for _, attrs in page.elements:
        if (attrs.get("href") or "").startswith("#"):
            assert attrs["href"][1:] in ids
        if attrs.get("aria-labelledby"):
            assert attrs["aria-labelledby"] in ids


def test_hostile_names_stay_words(page: Reader, html: str, invented: Facts):
    """Rejects a template without autoescape, and JSON that ends its own script element."""
    assert len(page.all("script")) == 8
    assert not [attrs for _, attrs in page.elements if any(name.startswith("on") for name in attrs)]
    assert not [attrs for attrs, _ in page.all("img") if attrs["src"] == "x"]
    assert "{{" not in re.sub(r"\{\{ 7 \* 7 \}\}", "", html)
    assert "49 &amp;" not in html
    headers = [text for _, text in page.all("th", scope="row")]
    for name in invented["data"]["classes"]:
        assert name in headers


def test_the_confusion_matrix_is_that_of_the_results(page: Reader, invented: Facts):
    """Rejects truth and guess swapped on the page."""
    cells = [text for attrs, text in page.all("td") if "--shade" in (attrs.get("style") or "")]
    shown = [
        [0 if cells[3 * row + column] == "·" else int(cells[3 * row + column]) for column in range(3)]
        for row in range(3)
    ]
    assert shown == [list(row) for row in invented["test"]["confusion"]]
    greens = [attrs for attrs, _ in page.all("td") if "--shade:var(--truth)" in (attrs.get("style") or "")]
    assert len(greens) == 3


def test_every_map_hangs_on_the_wall(page: Reader, invented: Facts):
    """Rejects a wall with a map left out, a dead one without saying so, and a tile that shows its neighbour."""
    tiles = [attrs for attrs, _ in page.all("li") if attrs.get("data-unit")]
    expected = [(index, one["unit"]) for index, layer in enumerate(invented["layers"]) for one in layer["maps"]]
    assert [(int(attrs["data-layer"]), int(attrs["data-unit"])) for attrs in tiles] == expected
    named = [re.sub(r"\s+", " ", text) for attrs, text in page.all("button") if attrs.get("aria-haspopup")]
    assert named[:3] == ["conv1, map 0activation 1.50", "conv1, map 1dead", "conv1, map 2activation 3.50"]
    assert [attrs.get("class") for attrs in tiles[:3]] == [None, "dead", None]


def test_what_the_script_reads_is_what_was_found(page: Reader, invented: Facts):
    """Rejects an enlarged pattern with other numbers than the wall."""
    told = json.loads(page.all("script", type="application/json")[0][1])
    assert [layer["layer"] for layer in told] == [layer["layer"] for layer in invented["layers"]]
    for layer, found in zip(told, invented["layers"], strict=True):
        assert layer["film_steps"] == ["0", "9", "best"]
        for one, true in zip(layer["maps"], found["maps"], strict=True):
            assert len(one["film_activations"]) == len(layer["film_steps"])
            assert (one["unit"], one["activation"], one["dead"]) == (true["unit"], true["activation"], true["dead"])


def test_the_truth_is_green_and_the_wrong_guess_red(page: Reader):
    """Rejects class bars coloured by rank: the truth came second here."""
    rows = [(attrs.get("class"), text) for attrs, text in page.all("div") if attrs.get("class") in ("truth", "wrong")]
    assert [kind for kind, _ in rows] == ["truth", "wrong"]
    assert "25.0%" in rows[0][1]
    assert "70.0%" in rows[1][1]


def test_each_picture_in_color_has_its_own_name_and_says_what_it_is(page: Reader, pictures: Facts):
    """Rejects a class's name under a unit's picture, a picture without its kind, and a chapter without a number."""
    shown = [attrs["src"] for attrs, _ in page.all("img") if "in color" in (attrs["alt"] or "")]
    assert shown == pictures["color"]
    captions = [text for _, text in page.all("figcaption") if "among natural images" in text]
    assert [" ".join(text.split()) for text in captions] == [
        "<u>hare9.50what excites most among natural images",
        "map 52.25what excites most among natural images",
    ]
    numerals = [text for attrs, text in page.all("span") if attrs.get("class") == "numeral"]
    assert numerals == [str(number + 1) for number in range(len(page.all("section")))]


def test_without_the_color_network_the_chapter_is_left_out_and_said(invented: Facts, pictures: Facts):
    """Rejects an empty chapter, a number left out of the contents, and a chapter that is missing without a word."""
    html = render_page({**invented, "color": {"missing": "a_wheel"}}, {**pictures, "color": []})
    page = Reader(html)
    assert 'id="color"' not in html
    assert "#color" not in html
    numerals = [text for attrs, text in page.all("span") if attrs.get("class") == "numeral"]
    assert numerals == [str(number + 1) for number in range(len(page.all("section")))]
    assert any("<code>" not in text and "a_wheel, are not installed" in text for _, text in page.all("p"))


def test_a_wrong_gradient_is_shown_as_wrong(page: Reader):
    """Rejects a table whose every row says right."""
    assert [text for attrs, text in page.all("td") if "verdict" in (attrs.get("class") or "")] == ["✓ right", "✗ wrong"]


def test_a_missing_number_is_an_error(invented: Facts, pictures: Facts):
    """Rejects Jinja2's default, which shows nothing where a name is misspelt."""
    broken = {name: value for name, value in invented.items() if name != "command"}
    with pytest.raises(UndefinedError):
        render_page(broken, pictures)


def test_the_frieze_mixes_the_layers_and_leaves_out_the_dead(invented: Facts):
    """Rejects a frieze of one layer, and one that shows what no picture wakes."""
    shown = list(frieze_places(invented["layers"]))
    assert sorted(shown) == [(0, 0), (0, 2), (1, 0)]


def test_a_curve_follows_the_palette_and_keeps_its_words():
    """Rejects an SVG with fixed colours (unreadable in the dark), letters drawn as shapes, and a header's addresses."""
    drawing = themed_svg(curves.accuracy_curve([1, 2], {"training": [0.5, 0.9]}), "a")
    assert "var(--muted)" in drawing
    for colour in vars(style.LIGHT).values():
        assert colour not in drawing
    assert ">training</text>" in drawing
    assert outside(drawing) == []
    assert drawing == themed_svg(curves.accuracy_curve([1, 2], {"training": [0.5, 0.9]}), "a")
