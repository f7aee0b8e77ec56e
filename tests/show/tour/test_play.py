"""The network in the tour's page, in a real browser: drawing, patterns, dreams, training; and what may not happen."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pellucid.data.digits import load_digits
from pellucid.learn.network import Network
from pellucid.learn.training import train
from pellucid.show.pages import ascent_starts, network_table, packed_digits
from pellucid.show.tour.page import render_page
from pellucid.show.tour.stages import ARCHITECTURE, Facts

SHARES = "all => all.map((one) => parseFloat(one.textContent))"
READ = """canvas => {
  const { width, height } = canvas, copy = new OffscreenCanvas(width, height);
  const pen = copy.getContext("2d", { willReadFrequently: true });
  pen.drawImage(canvas, 0, 0);
  const { data } = pen.getImageData(0, 0, width, height);
  return [height, width, Array.from({ length: data.length / 4 }, (_, k) => data[4 * k])];
}"""
RECORD = """window.Worker = class {
  postMessage(data) { window.sent = structuredClone(data); }
  terminate() { window.ended = true; }
};"""


@pytest.fixture(scope="session")
def network() -> Network:
    """The tour's network, trained a little."""
    network = Network(ARCHITECTURE)
    train(network, load_digits(0), epochs=4, batch=32, learning_rate=0.02, check=False)
    return network


@pytest.fixture
def opened(chromium: Any, tmp_path: Any, invented: Facts, pictures: Facts, network: Network) -> Iterator[Any]:
    """Opens the page with this network in it, from its file; afterwards nothing may have been asked of a network, nor
    said on the console."""
    contexts, wrong = [], []

    def opener(net: Network = network, *, changes: Any = None, script: str = "", **kinds: Any) -> Any:
        brought = {"network": network_table(net), "digits": packed_digits(0), "starts": ascent_starts(net, 0)}
        brought |= changes or {}
        path = tmp_path / f"{len(contexts)}.html"
        path.write_text(render_page(invented, {**pictures, **brought}), encoding="utf-8")
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **kinds})
        contexts.append(context)
        if script:
            context.add_init_script(script)
        page = context.new_page()
        page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request",
            lambda asked: None if asked.url.startswith(("file:", "data:", "blob:")) else wrong.append(asked.url),
        )
        page.goto(path.as_uri())
        return page

    yield opener
    assert wrong == []
    for context in contexts:
        context.close()


def seen(page: Any) -> np.ndarray:
    """What the easel shows, from ink to ivory as 0 to 1, (1, 1, height, width)."""
    height, width, red = page.eval_on_selector(".easel", READ)
    return ((np.array(red, np.float32) - 10) / 240).reshape(1, 1, height, width)


def draw(page: Any, *points: tuple[float, float]) -> None:
    """One stroke through these places of the easel, in shares of its side."""
    page.locator(".easel").scroll_into_view_if_needed()
    box = page.locator(".easel").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def test_the_page_answers_as_the_network_does(opened: Any, network: Network):
    """Rejects answers to the image before, classes in another order, and weights of another network."""
    page = opened()
    for _ in range(3):
        page.click(".another")
        wanted = network.predict(seen(page))[0]
        np.testing.assert_allclose(page.eval_on_selector_all(".bench .classes .num", SHARES), 100 * wanted, atol=3)
        assert f"{wanted.argmax()}, it says" in page.text_content(".says")
    maps = page.locator(".answers canvas").evaluate_all(f"all => all.map({READ})")
    largest = [max(red) for height, width, red in maps if (height, width) == (14, 14)]
    assert max(largest) == 250  # a layer's largest activation is in full light


def test_a_drawing_is_read_wherever_it_stands(opened: Any):
    """Rejects a drawing that is not brought to the size and place of the training images, and strokes of the wrong
    color, and a Clear that leaves something."""
    page = opened()
    page.click(".clear")
    for stroke in (((0.1, 0.1), (0.35, 0.1), (0.2, 0.42)), ((0.6, 0.6), (0.95, 0.6), (0.75, 0.95))):  # two sevens
        draw(page, *stroke)
        shares = page.eval_on_selector_all(".bench .classes .num", SHARES)
        assert int(np.argmax(shares)) == 7
        page.click(".clear")
        assert seen(page).max() == 0
    page.focus(".easel")
    page.keyboard.press(" ")
    for _ in range(12):
        page.keyboard.press("ArrowDown")
    assert seen(page).max() == pytest.approx(1, abs=0.03)
    page.keyboard.press("Delete")
    assert seen(page).max() == 0


def test_a_touch_draws(opened: Any):
    """Rejects a canvas that a finger scrolls instead of drawing on it."""
    page = opened(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page.click(".clear")
    page.locator(".easel").scroll_into_view_if_needed()
    box = page.locator(".easel").bounding_box()
    page.touchscreen.tap(box["x"] + 100, box["y"] + 100)
    assert seen(page).max() > 0.9
    assert page.eval_on_selector(".easel", "one => getComputedStyle(one).touchAction") == "none"


@pytest.mark.parametrize("width", [320, 390, 1440])
def test_nothing_is_wider_than_the_window(opened: Any, width: int):
    """Rejects a page that scrolls sideways on a telephone."""
    page = opened(viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_pattern_grows_in_the_page_and_stops(opened: Any, network: Network):
    """Rejects a pattern of another unit, one that is not shown, and one that goes on once something is drawn."""
    page = opened(reduced_motion="reduce")
    button = page.locator("[aria-label='Grow the pattern of conv4, map 5']")
    before = network.activations(seen(page))["conv4"][0, 5].mean()
    button.click()
    page.wait_for_selector(".says:has-text('after 30 steps')")
    told = float(re.search(r"activation ([\d.]+)", page.text_content(".says"))[1])
    after = network.activations(seen(page))["conv4"][0, 5].mean()
    assert after > 1.5 * before
    assert after == pytest.approx(told, rel=0.05)
    page.fill("[aria-label='unit of logits']", "4")
    page.locator(".answers li:has-text('logits') button").click()
    page.wait_for_selector(".says:has-text('logits, unit 4: activation')")
    page.wait_for_selector(".says:has-text('4, it says')")
    page = opened()
    button = page.locator("[aria-label='Grow the pattern of conv1, map 0']")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    draw(page, (0.2, 0.2), (0.8, 0.8))
    assert button.get_attribute("aria-pressed") == "false"
    page.wait_for_timeout(300)
    assert "steps" not in page.text_content(".says")


def test_a_dream_makes_a_digit_more_of_another(opened: Any, network: Network):
    """Rejects a dream downhill, of another class, and of an empty image."""
    page = opened(reduced_motion="reduce")
    digit = seen(page)
    to = int((network.predict(digit)[0].argmax() + 3) % 10)
    page.select_option(".play select", label=str(to))
    page.click(".dream")
    page.wait_for_selector(".says:has-text('Dreamt for 20 steps')")
    assert network.predict(seen(page))[0].argmax() == to
    assert 0.5 < np.corrcoef(seen(page).ravel(), digit.ravel())[0, 1] < 0.99


def test_the_controls_reach_the_training(opened: Any):
    """Rejects a check box or a slider that changes nothing, and a page that trains in its own thread."""
    page = opened(script=RECORD)
    page.click(".start")
    usual = page.evaluate("sent")
    assert usual["rate"] == 0.02
    assert usual["table"]["parameters"] is None
    assert usual["table"]["scaling"]["kind"] == "standardized"
    assert {layer.get("activation", "relu") for layer in usual["table"]["layers"][:-1]} == {"relu"}
    page.click(".start")
    assert page.evaluate("ended")
    page.uncheck("[name=relu]")
    page.uncheck("[name=standardized]")
    page.fill("[name=seed]", "7")
    page.eval_on_selector("[name=rate]", "one => { one.value = 0; one.dispatchEvent(new Event('input')); }")
    assert page.text_content(".train output") == "1"
    page.click(".start")
    broken = page.evaluate("sent")
    assert (broken["rate"], broken["seed"], broken["table"]["scaling"]["kind"]) == (1, 7, "unit")
    assert {layer.get("activation", "linear") for layer in broken["table"]["layers"]} == {"linear"}


@pytest.mark.slow
def test_the_browser_trains_to_95_percent(opened: Any):
    """Rejects a training that blocks the page, that cannot be stopped, or that does not learn; and answers that stay
    those of the other network."""
    page = opened()
    page.fill("[name=seed]", "2")
    page.click(".start")
    page.wait_for_selector(".progress b")
    page.click(".another")  # which waits for the page, were it busy
    page.click(".start")
    page.wait_for_selector(".progress:has-text('Stopped')")
    page.fill("[name=seed]", "1")
    page.click(".start")
    page.wait_for_selector(".start:has-text('Train')", timeout=180_000)
    assert float(page.text_content(".progress b").rstrip("%")) >= 95
    assert page.locator(".filters canvas").count() == 4
    own = page.eval_on_selector_all(".bench .classes .num", SHARES)
    page.click(".asked [value=page]")
    assert page.eval_on_selector_all(".bench .classes .num", SHARES) != own


def test_other_networks_are_run_or_refused(opened: Any, pictures: Facts):
    """Rejects a page that breaks where the network is too large, or has names of classes that are markup; and 28 x 28
    digits shown to a network of other images."""
    page = opened(changes={"network": None})
    assert "more than a page can carry" in page.text_content(".refused")
    assert page.locator(".easel").is_hidden()
    page = opened(changes={name: pictures[name] for name in ("network", "starts")})
    assert page.locator(".another").is_hidden()
    assert page.locator(".bench .classes dt").all_text_contents()[0].startswith("</script>")
    draw(page, (0.2, 0.2), (0.8, 0.8))
    assert "it says" in page.text_content(".says")
