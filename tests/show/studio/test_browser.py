"""The studio in a real browser: it reads a drawing, lets patterns evolve, dreams, trains, and says what is wrong.

After every test: nothing on the console, and no request to any other machine.
"""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright drives the browser: pip install playwright")
pytestmark = pytest.mark.slow
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
FLAGS += " --disable-component-update"
PATIENCE = 60_000  # milliseconds that a slow machine may take
STILL = """() => {
  const place = JSON.stringify(document.querySelector('canvas').getBoundingClientRect());
  const same = window.place === place;
  window.place = place;
  return same;
}"""
WATCH = """() => {
  const stage = document.querySelector('#stage');
  window.seen = new Set();
  new MutationObserver(() => {
    const image = stage.querySelector('.portrait img');
    if (image) window.seen.add(image.src);
  }).observe(stage, {subtree: true, childList: true, attributes: true});
}"""
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
THREE = [
    (90, 70),
    (130, 50),
    (175, 65),
    (180, 95),
    (150, 125),
    (125, 132),
    (160, 140),
    (190, 170),
    (180, 210),
    (95, 212),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A studio in a process of its own, as people start it."""
    words = [sys.executable, "-m", "pellucid", "studio", "--port", "0", "--no-open", "--seconds", "1"]
    folder = tmp_path_factory.mktemp("temporary")
    environment = {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment) as running:
        assert running.stderr is not None
        lines: list[str] = []
        for line in running.stderr:
            lines.append(line)
            if "http://" in line:
                break
        else:
            pytest.fail("".join(lines))
        rest = threading.Thread(target=lambda: lines.extend(running.stderr or []))
        rest.start()
        yield line[line.index("http://") :].partition(";")[0]
        running.terminate()
        running.wait(60)
        rest.join(60)
    assert not any("Traceback" in line for line in lines), "".join(lines)[-2000:]
    assert not list(folder.glob("pellucid-*")), "what was dropped and made is still there"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = os.environ.get("PELLUCID_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("a Chromium is needed: install one, or set PELLUCID_CHROMIUM to its path")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=found, args=FLAGS.split())
        yield opened
        opened.close()


def unusual(said: Any) -> bool:
    """Whether the console tells of something wrong, beside what Gradio's own upload of a file always says."""
    return said.type in ("error", "warning") and said.text != "Method not implemented."


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    one = context.new_page()
    wrong: list[str] = []
    one.on("console", lambda said: wrong.append(said.text) if unusual(said) else None)
    one.on("pageerror", lambda error: wrong.append(str(error)))
    mine = (address, "data:", f"blob:{address}")
    one.on("request", lambda asked: None if asked.url.startswith(mine) else wrong.append(asked.url))
    with one.expect_request(re.compile("/heartbeat/")):  # else what is clicked first may not be heard yet
        one.goto(address)
    one.wait_for_selector("canvas")
    yield one
    assert wrong == []
    context.close()


def tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def said(page: Any, words: str | re.Pattern[str]) -> None:
    """Wait until the tab's line says this; else tell what it said instead."""
    try:
        page.locator(".line:visible", has_text=words).first.wait_for()
    except playwright.TimeoutError:
        pytest.fail(f"'{words}' was never said, but: {page.locator('.line:visible').all_inner_texts()}")


def field(page: Any, name: str) -> Any:
    """The control of that name in the tab."""
    named = page.locator("[data-testid=block-info]").get_by_text(name, exact=True)
    return page.locator(".block:visible", has=named).last.locator("input, textarea").first  # the innermost


def size(path: Path) -> tuple[int, int]:
    """A picture's width and height."""
    with Image.open(path) as picture:
        found: tuple[int, int] = picture.size
    return found


def draw(page: Any, points: list[tuple[int, int]]) -> None:
    page.wait_for_function(STILL, polling=250)
    box = page.locator("canvas").bounding_box()
    scale = box["width"] / 280
    places = [(box["x"] + x * scale, box["y"] + y * scale) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=3)
    page.mouse.up()


def test_a_three_is_read_as_a_three_and_its_maps_can_be_asked(page):
    """Rejects a canvas that is not read, and maps that cannot be clicked."""
    draw(page, THREE)
    said(page, "reads 3")
    assert page.locator(".bars .best dt").inner_text() == "3"
    assert page.locator("#inside [data-layer=conv3]").count() == 128
    page.locator("#inside [data-layer=conv2]").nth(7).click()
    page.locator("#wanted", has_text="conv2, unit 7 what excites most among natural images · activation").wait_for()
    page.locator("#wanted", has_text="found in 48 steps").wait_for()
    page.get_by_role("button", name="Clear").click()
    said(page, "Draw a digit")


def test_one_can_draw_with_the_keyboard(page):
    """Rejects a canvas for the mouse only."""
    page.locator("canvas").focus()
    page.keyboard.press("Space")
    for _ in range(18):
        page.keyboard.press("ArrowDown")
    said(page, "reads 1")


def test_a_pattern_evolves_and_is_kept_and_downloaded(page, tmp_path):
    """Rejects a picture that does not change, and a download that is none."""
    tab(page, "Patterns")
    field(page, "Units").fill("56")
    page.evaluate(WATCH)
    page.locator("#evolve").click()
    said(page, "1 pattern in")
    assert page.evaluate("window.seen.size") > 2
    with page.expect_download() as download:
        page.get_by_role("button", name="Picture, PNG").click()
    download.value.save_as(tmp_path / "pattern.png")
    assert size(tmp_path / "pattern.png") == (224, 224)
    page.get_by_role("button", name="Keep").click()
    said(page, "1 pattern is kept")


def test_an_ascent_stops(page):
    """Rejects a stop that is not heard while work is going on."""
    tab(page, "Patterns")
    field(page, "Steps").fill("100000")
    page.locator("#evolve").click()
    said(page, re.compile("Step [1-9]"))
    page.get_by_role("button", name="Stop").locator("visible=true").click()
    said(page, "Stopped after")


def test_a_photo_is_dreamt_on_and_the_dream_downloaded(page, tmp_path):
    """Rejects a photo that does not arrive, and a line that cannot be pulled."""
    tab(page, "Dream")
    photo = tmp_path / "mine.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)).save(photo)
    page.locator("input[type=file]:visible, .drop:visible input[type=file]").last.set_input_files(photo)
    said(page, "A photograph of 90 × 60 pixels")
    page.locator("#dream").click()
    said(page, "Classic, dreamt by")
    compare = page.locator("#dreamt .compare")
    page.get_by_label("How much of the dream is shown").press("Home")
    assert compare.evaluate("e => getComputedStyle(e).getPropertyValue('--cut')") == "0%"
    with page.expect_download() as download:
        page.get_by_role("button", name="The dream, PNG").click()
    download.value.save_as(tmp_path / "dream.png")
    assert size(tmp_path / "dream.png") == (90, 60)


def test_a_click_on_a_preset_dreams_and_stop_is_there_while_it_does(page):
    """Rejects a picture that is only looked at, a picture that changes its size, and buttons that do nothing."""
    tab(page, "Dream")
    go, halt = page.locator("#dream"), page.get_by_role("button", name="Stop").locator("visible=true")
    page.get_by_text("More: models").click()  # what is not set stays so where it is seen
    before = page.locator("#dreamt img").bounding_box()
    assert (go.is_enabled(), halt.is_enabled()) == (True, False)
    field(page, "Steps").fill("1000")  # none ends by itself while one looks
    page.locator(".presets label", has_text="engraving").click()
    said(page, re.compile("Octave [1-9] of"))
    assert (go.is_enabled(), halt.is_enabled()) == (False, True)
    assert field(page, "Strength").input_value() == "0.5"
    field(page, "Steps").fill("10")
    page.locator(".presets label", has_text="brush").click()  # takes the place of the first
    said(page, "Brush, dreamt by")
    assert (go.is_enabled(), halt.is_enabled()) == (True, False)
    after = page.locator("#dreamt .compare").bounding_box()
    field(page, "Steps").fill("1000")
    go.click()
    said(page, re.compile("Octave [1-9] of"))
    halt.click()
    said(page, "Stopped")
    assert (go.is_enabled(), halt.is_enabled()) == (True, False)
    assert (before["width"], before["height"]) == pytest.approx((after["width"], after["height"]), abs=1)


def test_a_broken_file_ends_in_a_sentence(page, tmp_path):
    """Rejects a traceback, and silence."""
    tab(page, "Dream")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + b"nothing" * 20)
    page.locator(".drop:visible input[type=file]").set_input_files(broken)
    page.locator("[role=alert]:visible", has_text="dropped picture").wait_for()


def test_a_training_is_watched_stopped_and_its_network_used(page):
    """Rejects panels that do not move, and a network that the other tabs cannot choose."""
    tab(page, "Train")
    page.locator("#train").click()
    page.locator("#training .curves svg").first.wait_for()
    assert page.locator("#training .layer").count() >= 6
    page.locator("#train-stop").click()
    said(page, "The other tabs have it as")
    tab(page, "Draw")
    field(page, "Model").click()
    page.get_by_role("option", name="trained here 1: cnn-4-4-8-16").click()
    draw(page, THREE)
    said(page, "trained here 1: cnn-4-4-8-16 reads")


def test_an_atlas_is_built_and_browsed(page):
    """Rejects a site that stays empty inside the page."""
    tab(page, "Atlas")
    field(page, "Layers").fill("conv1")
    field(page, "Steps").fill("3")
    page.locator("#build").click()
    site = page.frame_locator("iframe.site")
    site.locator(".strip a").first.click()
    site.locator(".wall li").nth(31).wait_for()  # the page that was clicked comes a moment later
    assert site.locator(".wall li").count() == 32


def test_two_windows_do_not_disturb_each_other(page, browser, address):
    """Rejects a second window that sees, or stops, what the first one does."""
    other = browser.new_page()
    other.goto(address)
    other.wait_for_selector("canvas")
    draw(page, THREE)
    said(page, "reads 3")
    assert other.locator(".line:visible").first.inner_text().startswith("Draw a digit")
    other.close()


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_is_wider_than_the_window(page, width):
    """Rejects a page that scrolls sideways on a telephone."""
    page.set_viewport_size({"width": width, "height": 850})
    for name in ("Draw", "Patterns", "Dream", "Train", "Atlas"):
        tab(page, name)
        page.evaluate(DRAWN)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name


def test_there_is_light_and_dark(page):
    """Rejects a choice of colours that changes nothing."""
    colour = "getComputedStyle(document.querySelector('.wordmark')).color"
    before = page.evaluate(colour)
    page.get_by_role("button", name="Dark or light").click()
    assert page.evaluate(colour) != before


@pytest.mark.parametrize(("width", "dark"), [(390, True), (1440, False)])
def test_every_tab_is_for_everybody(page, faults, width, dark):
    """Rejects contrasts that are too low, names that are not what is read, and roles that do not hold, in any tab."""
    page.set_viewport_size({"width": width, "height": 850})
    if dark:
        page.get_by_role("button", name="Dark or light").click()
    for name in ("Draw", "Patterns", "Dream", "Train", "Atlas"):
        tab(page, name)
        if name == "Draw":
            draw(page, THREE)
            said(page, "reads 3")
            page.locator("#inside [data-layer=conv2]").nth(7).click()
            page.locator("#wanted", has_text="found in 48 steps").wait_for()
            page.locator("#asked", has_text="conv2, unit 7 what it answers to this image").wait_for()
        page.evaluate(DRAWN)
        assert faults(page) == [], name


def test_what_cannot_act_is_not_live(page):
    """Rejects Keep, Go on and Clear with nothing to keep, to go on with or to clear."""
    clear, keep, on = (page.get_by_text(name, exact=True) for name in ("Clear", "Keep", "Go on"))
    assert not clear.is_enabled()
    draw(page, THREE)
    said(page, "reads 3")
    assert clear.is_enabled()
    clear.click()
    said(page, "Draw a digit")
    assert not clear.is_enabled()
    tab(page, "Patterns")
    assert not keep.is_enabled()
    field(page, "Units").fill("3")
    page.locator("#evolve").click()
    said(page, "1 pattern in")
    assert keep.is_enabled()
    tab(page, "Train")
    assert not on.is_enabled()
    page.locator("#train").click()
    page.locator("#training .curves svg").first.wait_for()
    assert not on.is_enabled()
    page.locator("#train-stop").click()
    said(page, "The other tabs have it as")
    assert on.is_enabled()


def test_a_drawing_is_worked_out_number_by_number(page, faults):
    """Rejects a lesson of another network or drawing, one that scrolls in a frame of its own, one that stays light in
    the dark, and one that is left when something else is drawn."""
    assert not page.locator("#work").is_visible()
    draw(page, THREE)
    said(page, "reads 3")
    page.locator("#work").click()
    lesson = page.frame_locator("#lesson iframe")
    lesson.locator(".chain button", has_text="pool2").click()
    assert lesson.locator("[name=truth]").input_value() == "3"
    assert lesson.locator(".working h3").inner_text().startswith("pool2, map ")
    lesson.locator(".ways button[value=back]").click()
    lesson.locator(".chain button", has_text="conv2").click()
    lesson.locator(".field").click(position={"x": 279, "y": 279})  # beyond the last window of the pool
    assert lesson.locator(".say").inner_text().startswith("No window of the pool reaches this far")
    frame = page.query_selector("#lesson iframe").content_frame()
    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 850})
        page.evaluate(DRAWN)
        assert frame.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.wait_for_function(
            "() => { const frame = document.querySelector('#lesson iframe'); "
            "return Math.abs(frame.offsetHeight - frame.contentDocument.body.offsetHeight) < 40; }"
        )
        assert faults(page) == []
    light = frame.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Dark or light").click()
    page.evaluate(DRAWN)
    assert frame.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert faults(page) == []
    draw(page, [(140, 60), (140, 220)])
    page.locator("#lesson iframe").wait_for(state="detached")


def test_a_network_that_the_lesson_cannot_follow_is_named(page):
    """Rejects a traceback, and a lesson of the network before."""
    draw(page, THREE)
    said(page, "reads 3")
    field(page, "Model").fill("efficientnet-lite0")
    page.keyboard.press("Enter")
    said(page, "efficientnet-lite0 reads")
    page.locator("#work").click()
    said(page, "unlike efficientnet-lite0")


@pytest.mark.parametrize(("width", "dark"), [(390, True), (1440, False)])
def test_patterns_fill_the_page(page, faults, width, dark):
    """Rejects small tiles in a corner of a wide page, a picture wider than the page, tab labels that are cut, and boxes
    of numbers at uneven heights."""
    page.set_viewport_size({"width": width, "height": 850})
    if dark:
        page.get_by_role("button", name="Dark or light").click()
    for label in page.get_by_role("tab").all():
        assert label.evaluate("e => e.scrollWidth <= e.clientWidth && e.getBoundingClientRect().right <= innerWidth")
    tab(page, "Patterns")
    left, right = (field(page, name).bounding_box() for name in ("L1", "L2"))
    assert left["y"] == pytest.approx(right["y"], abs=1)
    assert right["x"] > left["x"] + left["width"]
    page.locator("#evolve").click()
    said(page, "16 patterns in")
    stage, tiles = (
        page.locator("#stage").bounding_box(),
        [one.bounding_box() for one in page.locator("#stage .tile").all()],
    )
    assert max(one["x"] + one["width"] for one in tiles) - stage["x"] > 0.8 * stage["width"]
    assert len(tiles) == 16
    field(page, "Units").fill("3")
    page.locator("#evolve").click()
    said(page, "1 pattern in")
    assert page.locator("#stage .portrait img").bounding_box()["width"] > 0.8 * min(stage["width"], 700)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert faults(page) == []
