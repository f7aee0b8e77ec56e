"""The atlas in a real browser, opened from its folder: sorting, finding, units, links, keys, dark and light."""

import json
import os
import re
import shutil
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from pellucid.data.splits import Data, Split
from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network
from pellucid.see.models.open import open_model
from pellucid.show.atlas.build import atlas
from pellucid.show.pages import MOST_BYTES, play_table
from tests.show.tour.test_play import SHARES, draw, seen

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright drives the browser: pip install playwright")
HOSTILE = ("</script><script>window.broken=1</script>", "'><img src=x onerror=window.broken=1>", "two")
ANSWER = """image => {
    const engine = pellucidEngine(Float64Array);
    const net = engine.open(JSON.parse(document.querySelector("#network").textContent));
    return [...engine.softmax(engine.forward(net, Float64Array.from(image)).outputs.at(-1), 1)];
}"""
QUICK = {"steps": 3, "variants": 2, "judge": True, "ablate": True}
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
FLAGS += " --disable-component-update"


@pytest.fixture(scope="module")
def net() -> Network:
    layers = [Conv(6, 3), Pool(2), Flatten(), Dense(9), Dense(3, activation="linear")]
    net = Network(layers, input_shape=(1, 11, 9), classes=3, scaling="standardized")
    net.parameters["conv1.weight"][2] = 0
    net.parameters["conv1.bias"][2] = -1
    return net


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, net: Network) -> Path:
    rng = np.random.default_rng(0)
    split = Split(rng.random((30, 1, 11, 9)).astype(np.float32), np.arange(30) % 3)
    data = Data(split, split, split, classes=HOSTILE)
    return atlas(net, tmp_path_factory.mktemp("site"), data, **QUICK, progress=lambda *_: None).page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = os.environ.get("PELLUCID_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("a Chromium is needed: install one, or set PELLUCID_CHROMIUM to its path")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=found, args=FLAGS.split())
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, site: Path) -> Iterator[Any]:
    """The front page; afterwards nothing may have been asked of a network, said on the console, or broken out."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, color_scheme="light", reduced_motion="reduce"
    )
    one = context.new_page()
    wrong: list[str] = []
    one.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    one.on("pageerror", lambda error: wrong.append(str(error)))
    one.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else wrong.append(asked.url))
    one.goto(site.as_uri())
    yield one
    assert one.evaluate("window.broken") is None
    assert wrong == []
    context.close()


def captions(page: Any) -> list[int]:
    return [int(text) for text in page.locator(".wall .caption span").all_text_contents()]


def test_a_wall_is_sorted_and_chosen_from(page):
    """Rejects a sort that only moves a mark, and dead units among the strongest."""
    page.click(".strip a >> nth=0")
    assert captions(page) == [0, 1, 2, 3, 4, 5]
    page.click(".sort button[value=activation]")
    shown = [float(text) for text in page.locator(".wall .caption b").all_text_contents() if text != "dead"]
    assert shown == sorted(shown, reverse=True)
    assert captions(page)[-1] == 2
    page.select_option("select", "2")
    wanted = page.evaluate("PELLUCID.layers[0].class.map((c, u) => c === 2 ? u : -1).filter((u) => u >= 0)")
    assert sorted(captions(page)) == wanted


def test_a_wall_is_sorted_by_what_judges_say(page):
    """Rejects numbers in the order of the others, what cannot be told before what can, the order that was before still
    marked, and a number on the tiles that is not the one that they are sorted by."""
    page.click("a[href='#conv1'].band")
    told = page.evaluate("PELLUCID.layers[0].judged.columns")
    for name, best in (("robust", max), ("high", min)):
        page.select_option(".tools label:has-text('believe') select", name)
        known = [value for value in told[name] if value is not None]
        order = captions(page)
        assert told[name][order[0]] == best(known)
        assert [told[name][unit] is None for unit in order] == sorted(value is None for value in told[name])
        assert page.locator(".sort [aria-pressed='true']").count() == 0
    assert page.locator(".wall .caption b").first.text_content().endswith("%")
    page.click(".sort button[value='index']")
    assert captions(page) == list(range(6))
    assert page.locator(".tools label:has-text('believe') select").input_value() == ""


def test_a_unit_is_shown_with_its_least_and_how_much_to_believe(page, site):
    """Rejects the most twice, numbers of another unit, and judges that are not named."""
    page.goto(f"{site.as_uri()}#logits/1")
    page.wait_for_selector(".pair")
    most, least = page.locator(".pair .caption").all_text_contents()
    assert most.startswith("excites it most")
    assert least.startswith("excites it least")
    at = page.locator(".pair .tile").evaluate_all("tiles => tiles.map((one) => one.style.getPropertyValue('--u'))")
    assert at == ["0", page.evaluate("String(PELLUCID.layers.at(-1).tiles - 1)")]
    section = page.locator("section:has(h2:text-is('How much to believe it'))")
    robust = page.evaluate("PELLUCID.layers.at(-1).judged.columns.robust[1]")
    assert float(section.locator("dd").first.text_content().rstrip("%")) == pytest.approx(100 * robust, abs=0.6)
    assert "mnist-cnn and mnist-robust" in section.text_content()


def test_a_unit_is_found_opened_and_left_by_its_weights(page):
    """Rejects a search that finds no number, a unit page without its parts, and links that lead nowhere."""
    page.keyboard.press("/")
    page.keyboard.type("dense 4")
    page.keyboard.press("Enter")
    page.wait_for_selector(".portrait .big")
    assert page.url.endswith("#dense/4")
    assert page.locator(".examples li").count() == 16
    assert page.locator(".histogram i").count() > 0
    assert page.locator("section:has(h2:text-is('Class by class')) dt").all_text_contents() == list(HOSTILE)
    page.click("text=What it is made of >> xpath=.. >> a >> nth=0")
    page.wait_for_selector("h1:has-text('conv1 map')")
    page.wait_for_selector(".examples .crop >> nth=15")
    page.keyboard.press("Escape")
    page.wait_for_selector(".wall")
    assert page.url.endswith("#conv1")


def test_a_class_is_found_by_any_word_of_its_name(page):
    """Rejects a search that knows a class by its whole name or its number alone, a last layer without names, and the
    units that prefer a class before its own."""
    page.fill("#search", "logits oner")
    assert page.locator("#results .mates li").count() == 1
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('logits unit 1: ')")
    page.fill("#search", "two")
    assert page.locator("#results .mates li").first.locator(".caption > :not(i)").all_text_contents() == ["2", "two"]
    assert page.locator("#results .mates li").count() > 1
    page.fill("#search", "class two logits")
    assert page.locator("#results .mates li .caption span").all_text_contents().count("2") == 1


def test_deep_links_and_keys(page, site):
    """Rejects an address that works only once the page is open, and arrows that leave the layer."""
    page.goto(f"{site.as_uri()}#conv1/5")
    page.reload()
    page.wait_for_selector("h1:has-text('conv1 map 5')")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("h1:has-text('conv1 map 0')")
    page.keyboard.press("]")
    page.wait_for_selector("h1:text-is('dense')")
    page.goto(f"{site.as_uri()}#nowhere/5")
    page.wait_for_selector("h1:has-text('no such place')")


def test_the_dead_are_told_with_their_proof(page, site):
    """Rejects a dead unit that only looks pale."""
    page.goto(f"{site.as_uri()}#conv1")
    page.wait_for_selector("h2:has-text('Dead units')")
    page.click(".ruled a")
    page.wait_for_selector(".lede:has-text('It is dead')")


def test_path_card_and_colours(page, site):
    """Rejects a page that is forgotten, and a choice of colours that changes nothing."""
    for address, title in (("#/path", "One image"), ("#/card", "The card")):
        page.goto(f"{site.as_uri()}{address}")
        page.wait_for_selector(f"h1:has-text('{title}')")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click(".theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before


@pytest.mark.parametrize("width", [320, 390, 1440])
def test_nothing_is_wider_than_the_window(page, site, width):
    """Rejects a page that scrolls sideways on a telephone."""
    page.set_viewport_size({"width": width, "height": 800})
    for address in ("#", "#conv1", "#dense/1", "#/path", "#/card"):
        page.goto(f"{site.as_uri()}{address}")
        page.wait_for_selector("h1")
        page.wait_for_timeout(150)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address


def test_controls_have_names(page, site):
    """Rejects a link, button or picture that a screen reader cannot name."""
    for address in ("#", "#conv1", "#conv1/0", "#/path", "#/card"):
        page.goto(f"{site.as_uri()}{address}")
        page.wait_for_timeout(150)
        nameless = page.evaluate(
            """[...document.querySelectorAll('a, button, [role=img], input, select')]
            .filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length))
            .map((e) => e.outerHTML.slice(0, 120))"""
        )
        assert nameless == []


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_the_atlas_is_for_everybody(page, site, faults, width, scheme):
    """Rejects contrasts that are too low, and names that are not what is read, of a page of each kind."""
    page.set_viewport_size({"width": width, "height": 850})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    for address in ("#", "#conv1", "#conv1/0", "#conv1/2", "#dense/4", "#logits/1", "#/path", "#/card", "#nowhere/5"):
        page.goto(f"{site.as_uri()}{address}")
        page.wait_for_selector("main h1")
        assert faults(page) == [], address


def test_a_units_name_is_what_is_read_and_whose_it_is(page):
    """Rejects a name that leaves out the layer, the number or what is told of it, one that says a thing twice, and a
    map of a layer whose units have none."""
    page.click("a[href='#conv1'].band")
    activation = page.locator(".wall .caption b").first.text_content()
    for order in ("index", "plane"):
        page.click(f".sort button[value={order}]")
        assert page.get_by_role("link", name=f"conv1, map 0 activation {activation}", exact=True).count() == 1
        assert page.get_by_role("link", name="conv1, map 2 dead", exact=True).count() == 1
    page.click(".sort button[value=matters]")
    assert page.get_by_role("link", name=re.compile(f"^conv1, map 0 activation {activation}, .*[%0]$")).count() == 1


def test_what_is_not_shown_is_counted(page):
    """Rejects a row of a layer's units that passes for all of them, and a count of those that are shown."""
    assert page.locator(".band .row .label").all_text_contents() == ["+1 more", "", ""]  # a dead one
    page.set_viewport_size({"width": 200, "height": 800})
    page.reload()
    shown = page.locator(".band >> nth=1").locator(".row .tile").count()
    assert 0 < shown < 9
    assert page.locator(".band >> nth=1").locator(".row .label").text_content() == f"+{9 - shown} more"


def test_a_wall_is_sorted_by_what_units_cost(page):
    """Rejects units that cost least first, and a number that is another unit's."""
    page.click("a[href='#dense'].band")
    cost = page.evaluate("PELLUCID.layers[1].ablate")
    page.click(".sort button[value=matters]")
    order = captions(page)
    assert [cost[unit] for unit in order] == sorted(cost)
    page.click(".wall a >> nth=0")
    page.wait_for_selector("h2:text-is('Does it matter?')")
    told = page.locator(".facts div:has-text('held at zero') dd").text_content()
    assert float(told.replace("\u2212", "-").rstrip("%")) == pytest.approx(100 * cost[order[0]], abs=0.06)


def test_a_layer_is_a_map_where_likes_lie_together(page):
    """Rejects tiles in rows, one that lies outside, and a map that stays when another order is chosen."""
    page.click("a[href='#conv1'].band")
    page.click(".sort button[value=plane]")
    box = page.locator(".wall").bounding_box()
    places = page.evaluate("PELLUCID.layers[0].plane")
    found = [tile.bounding_box() for tile in page.locator(".wall li").all()]
    assert len(found) == 6
    for unit, one in enumerate(found):
        assert box["x"] - 1 <= one["x"] <= box["x"] + box["width"] - one["width"] + 1, unit
    across = [one["x"] for one in found]
    assert sorted(range(6), key=lambda unit: across[unit]) == sorted(range(6), key=lambda unit: places[unit][0])
    page.click(".sort button[value=index]")
    assert page.locator(".wall.plane").count() == 0


def test_a_unit_tells_its_likes_and_what_makes_it_up(page, site):
    """Rejects the unit among its own likes, parts that do not add up to the sum that is told, and a first layer that
    claims some."""
    page.goto(f"{site.as_uri()}#dense/4")
    for title in ("It answers like", "It looks for the like of"):
        section = page.locator(f"section:has(h2:text-is('{title}'))")
        shown = section.locator(".caption span").all_text_contents()
        assert len(shown) == 8
        assert "4" not in shown
    line = page.locator("section:has(h2:text-is('What makes it up')) .num.label").text_content()
    words = line.replace("\u2212", "-").replace(" by all others", "").replace(" bias", "").split()
    assert sum(map(float, words[: words.index("=")])) == pytest.approx(float(words[-1]), abs=0.06)
    page.goto(f"{site.as_uri()}#conv1/1")
    page.wait_for_selector("h2:text-is('It answers like')")
    assert page.locator("h2:text-is('What makes it up')").count() == 0


def test_layers_of_any_name_have_addresses_of_their_own(page, tmp_path):
    """Rejects a layer that is taken for a part of the page, a slash or percent sign in a name that is taken for one of
    the address, and a layer "a/1" that hides unit 1 of "a"."""
    names = ["main", "content", "a", "a/1", "50% ü?#&", "/card"]
    net = nn.Sequential(OrderedDict((name, nn.Conv2d(2, 2, 1)) for name in names))
    made = atlas(open_model(net, input_shape=(2, 5, 4)), tmp_path, steps=1, variants=1, progress=lambda *_: None)
    page.goto(made.page.as_uri())
    for name in names:
        page.goto(f"{made.page.as_uri()}#")
        page.click(f".strip a:has(b:text-is('{name}'))")
        page.wait_for_selector(f"h1:text-is('{name}')")
        page.reload()
        page.wait_for_selector(f"h1:text-is('{name}')")
        page.click(".wall a >> nth=1")
        page.wait_for_selector(f"h1:has-text('{name} map 1')")
        page.reload()
        page.wait_for_selector(f"h1:has-text('{name} map 1')")
        page.keyboard.press("Escape")
        page.wait_for_selector(f"h1:text-is('{name}')")
    page.click("text=The model’s card")
    page.wait_for_selector("h1:has-text('The card')")


def test_what_is_known_of_a_unit_is_there_to_take_away(page, site):
    """Rejects files of another unit, links that lead nowhere from a folder, and a film that is offered as how the unit
    came to be where there are no checkpoints."""
    page.goto(f"{site.as_uri()}#dense/4")
    page.wait_for_selector(".take a")
    addresses = page.locator(".take a").evaluate_all("links => links.map((one) => one.href)")
    assert [address.rpartition("/")[2] for address in addresses] == [
        "unit-0004" + e for e in (".json", ".webp", "-film.webp")
    ]
    for address in addresses:
        assert page.goto(address).ok
    told = json.loads((site.parent / "data" / "dense" / "unit-0004.json").read_text(encoding="utf-8"))
    assert (told["layer"], told["unit"]) == ("dense", 4)
    page.goto(site.as_uri())


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three networks of two layers: one, another beside it, and two checkpoints."""
    rng = np.random.default_rng(0)
    split = Split(rng.random((30, 1, 11, 9)).astype(np.float32), np.arange(30) % 3)
    layers = [Conv(6, 3), Flatten(), Dense(3, activation="linear")]
    nets = [Network(layers, input_shape=(1, 11, 9), classes=3, scaling="standardized", seed=seed) for seed in (0, 1)]
    asked = {"beside": nets[1], "checkpoints": {"step-0010": nets[1], "step-0200": nets[0]}, "least": True}
    out = tmp_path_factory.mktemp("pairs")
    return atlas(nets[0], out, Data(split, split, split), steps=3, variants=2, **asked, progress=lambda *_: None).page


def columns(page: Any, tiles: str) -> list[str]:
    return page.locator(tiles).evaluate_all("all => all.map((one) => one.style.getPropertyValue('--u'))")


def test_a_unit_stands_beside_its_partner_and_its_past(page, pairs):
    """Rejects a partner's picture that is another tile, checkpoints that are shown as steps of the ascent, a film that
    does not play, and a number that is not the pair's."""
    page.goto(f"{pairs.as_uri()}#logits/2")
    page.wait_for_selector("h2:has-text('Beside')")
    layer = page.evaluate("PELLUCID.layers.at(-1)")
    last = layer["tiles"] - 1
    assert columns(page, "section:has(h2:has-text('Beside')) .pair .tile") == ["0", str(last - 1)]
    section = page.locator("section:has(h2:has-text('Beside'))").text_content()
    assert f"logits {layer['beside']['units'][2]} there" in section
    film = "section:has(h2:has-text('How it came to be'))"
    assert columns(page, f"{film} button .tile") == [str(last - 3), str(last - 2)]
    assert page.locator(f"{film} button .caption span").all_text_contents() == ["10", "200"]
    page.click(f"{film} button >> nth=1")
    assert columns(page, f"{film} .growth .tile") == [str(last - 3)]
    page.click(f"{film} .again")
    page.wait_for_selector(f".growth .tile[style*='--u: {last - 2};']")
    assert page.locator(".take a").last.get_attribute("href").endswith("unit-0002-birth.webp")


def test_a_layer_stands_beside_another_and_its_past(page, pairs):
    """Rejects pairs in the order of units, an order that begins with the least alike, and a slider that changes the
    words alone, or stays where it was when the order is another."""
    page.goto(f"{pairs.as_uri()}#conv1")
    page.wait_for_selector("h2:has-text('Beside')")
    told = page.evaluate("PELLUCID.layers[0].beside")
    known = sorted(
        (value for value, unit in zip(told["likeness"], told["units"], strict=True) if unit is not None), reverse=True
    )
    shown = page.locator("section:has(h2:has-text('Beside')) figcaption b").all_text_contents()
    assert [float(text) for text in shown] == pytest.approx(known, abs=0.006)
    page.click(".sort button[value=beside]")
    assert told["likeness"][captions(page)[0]] == max(told["likeness"])
    page.locator(".tools input[type=range]").fill("1")
    assert page.locator(".tools output").text_content() == "200"
    tiles = page.evaluate("PELLUCID.layers[0].tiles")
    page.click(".sort button[value=index]")
    assert set(columns(page, ".wall .tile")) == {str(tiles - 3)}
    page.locator(".tools input[type=range]").fill("2")
    assert page.locator(".wall .tile").first.evaluate("one => one.style.backgroundImage.includes('wall-')")


@pytest.mark.parametrize("width", [390, 1440])
def test_pairs_and_births_are_no_wider_than_the_window(page, pairs, width):
    """Rejects a page that scrolls sideways on a telephone, and controls without names."""
    page.set_viewport_size({"width": width, "height": 800})
    for address in ("#conv1", "#conv1/1", "#logits/2"):
        page.goto(f"{pairs.as_uri()}{address}")
        page.wait_for_selector("h2:has-text('Beside')")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address


def test_the_network_of_an_atlas_lives_in_a_page_of_its_own(page: Any, site: Path, net: Network, faults: Any):
    """Rejects the answers of another network, a page that a name breaks out of, and a link that leads nowhere."""
    page.click("text=Play with the network")
    assert page.url == (site.parent / "play.html").as_uri()
    page.wait_for_selector(".easel")
    draw(page, (0.5, 0.2), (0.4, 0.8), (0.7, 0.6))
    page.click(".dream")
    playwright.expect(page.locator(".dream")).to_have_text("Dream")
    wanted = net.predict(seen(page))[0]
    np.testing.assert_allclose(page.eval_on_selector_all(".bench .classes .num", SHARES), 100 * wanted, atol=3)
    image = np.random.default_rng(3).random((1, *net.input_shape)).astype(np.float32)
    answered = page.evaluate(ANSWER, image.ravel().tolist())
    np.testing.assert_allclose(answered, net.predict(image)[0], atol=1e-5)
    page.click(".follow")
    assert page.locator(".lesson .maps button, .lesson canvas").count() > 0
    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert faults(page) == []


def test_a_network_that_is_no_page_s_has_none():
    """Rejects a page of 40 MB, and a drawing in gray for a network that sees colors."""
    layers = [Flatten(), Dense(3, activation="linear")]
    assert play_table(Network(layers, input_shape=(3, 9, 8))) is None
    assert play_table(Network([Flatten(), Dense(MOST_BYTES // 400, "linear")], input_shape=(1, 10, 11))) is None
    assert play_table(None) is None
    assert play_table(Network(layers, input_shape=(1, 9, 8)))["parameters"] == 9 * 8 * 3 + 3
