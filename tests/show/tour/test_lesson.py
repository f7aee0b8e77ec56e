"""Every number of the lesson, read from the page in a browser, is that which Python computes from the saved network."""

import inspect
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pellucid.data.digits import load_digits
from pellucid.kernels import reference
from pellucid.learn.network import Network
from pellucid.learn.training import train
from pellucid.show.pages import lesson_table, network_table
from pellucid.show.tour import page as pages
from pellucid.show.tour.stages import Facts

INDEX = 5  # of the test image that is followed
STOPS = ("digit", "conv1", "conv2", "pool1", "conv3", "conv4", "pool2", "dense", "logits", "loss")
READ = """[...document.querySelectorAll(".lesson [data-is]")].map((one) =>
  [one.dataset.is, Number(one.dataset.power), one.textContent])"""


class Truth:
    """What a number on the page should be, in float64, by the words of its `data-is`.

    A pass by `Network`, whose gradients `check_gradients` vouches for; sums over a part by kernels/reference.py.
    """

    def __init__(self, network: Network, image: np.ndarray, label: int) -> None:
        self.network, self.label, self.pixels = network.astype(np.float64), label, image.astype(np.float64)
        self.x = reference.standardize_images(self.pixels[None], 1 / np.sqrt(image.size)).transpose(1, 2, 3, 0)
        trace = self.network.forward(self.x)
        self.losses, dlogits = self.network.loss_function.value_and_gradient(trace.output, np.array([label]))
        outputs: dict[str, np.ndarray] = {}
        self.gradients, dx = self.network.backward(trace, dlogits, outputs=outputs)
        assert dx is not None
        self.y = {"digit": self.x, **dict(zip(trace.names, trace.outputs, strict=True))}
        self.dy = {"digit": dx, **outputs}
        self.dz = {
            name: layer.pre_activation_gradient(cache, outputs[name])
            for layer, name, cache in zip(trace.layers, trace.names, trace.caches, strict=True)
        }
        self.z: dict[str, np.ndarray] = {}
        self.before = dict(zip(trace.names, ("digit", *trace.names), strict=False))
        self.layers = dict(zip(trace.names, trace.layers, strict=True))

    def __call__(self, words: str) -> float:
        if "*" in words:
            return float(np.prod([self(factor) for factor in words.split(" * ")]))
        kind, *rest = words.split()
        return float(getattr(self, f"of_{kind}")(*rest))

    def at(self, arrays: dict[str, np.ndarray], name: str, place: tuple[str, ...]) -> float:
        """A number of an array; beyond its edge, where a convolution's zeros lie, 0."""
        array, index = arrays[name][..., 0], tuple(map(int, place))
        return array[index] if all(0 <= i < n for i, n in zip(index, array.shape, strict=True)) else 0.0

    def of_y(self, name: str, *place: str) -> float:
        return self.at(self.y, name, place)

    def of_dy(self, name: str, *place: str) -> float:
        return self.at(self.dy, name, place)

    def of_dz(self, name: str, *place: str) -> float:
        return self.at(self.dz, name, place)

    def of_w(self, name: str, *place: str) -> float:
        return self.network.parameters[f"{name}.weight"][tuple(map(int, place))]

    def of_dw(self, name: str, *place: str) -> float:
        return self.gradients[f"{name}.weight"][tuple(map(int, place))]

    def of_b(self, name: str, unit: str) -> float:
        return self.network.parameters[f"{name}.bias"][int(unit)]

    def of_z(self, name: str, *place: str) -> float:
        if name not in self.z:
            self.z[name] = self.network.forward(self.x, upto=name, linear=True).output
        return self.at(self.z, name, place)

    def of_products(self, name: str, *place: str) -> float:
        return self.of_z(name, *place) - self.of_b(name, place[0])

    def of_part(self, name: str, map_: str, row: str, column: str, channel: str) -> float:
        """What one map before a convolution gives to one of its numbers."""
        o, r, s, c = map(int, (map_, row, column, channel))
        x, w = self.y[self.before[name]], self.network.parameters[f"{name}.weight"][o : o + 1, c : c + 1]
        layer = self.layers[name]
        y = reference.convolve(
            x[c : c + 1], w, np.zeros(1), False, layer.border(x.shape[:3]), layer.places(x.shape[:3])
        )
        return y[0, r, s, 0]

    def of_back(self, name: str, channel: str, row: str, column: str, map_: str) -> float:
        """What one map of a convolution sends back to a number before it."""
        c, p, q, o = map(int, (channel, row, column, map_))
        shape, w = self.y[self.before[name]].shape[:3], self.network.parameters[f"{name}.weight"][o : o + 1]
        border = self.layers[name].border(shape)
        return reference.convolve_input_gradient(self.dz[name][o : o + 1], w, shape[1:], border)[c, p, q, 0]

    def of_rest(self, count: str, what: str, name: str, *place: str) -> float:
        """The sum of all products of a number but the `count` largest."""
        index = tuple(map(int, place))
        if what == "z":
            products = self.network.parameters[f"{name}.weight"][index[0]] * self.y[self.before[name]].reshape(-1)
        elif what == "dy":
            after = {"pool2": "dense", "dense": "logits"}[name]
            k = np.ravel_multi_index(index, self.y[name].shape[:-1])
            products = self.network.parameters[f"{after}.weight"][:, k] * self.dz[after][:, 0]
        else:
            o, c, i, j = index
            x, (top, left) = self.y[self.before[name]], self.layers[name].border(self.y[self.before[name]].shape[:3])
            around = np.pad(x[c, :, :, 0], ((top, top), (left, left)))
            _, height, width, _ = self.dz[name].shape
            products = (self.dz[name][o, :, :, 0] * around[i : i + height, j : j + width]).ravel()
        return products[np.argsort(-np.abs(products))[int(count) :]].sum()

    def of_pixel(self, *place: str) -> float:
        return self.pixels[tuple(map(int, place))]

    def of_mean(self) -> float:
        return self.pixels.mean()

    def of_difference(self, *place: str) -> float:
        return self.of_pixel(*place) - self.pixels.mean()

    def of_deviation(self) -> float:
        return self.pixels.std()

    @cached_property
    def logits(self) -> np.ndarray:
        return self.y["logits"][:, 0]

    def of_p(self, k: str) -> float:
        return reference.softmax(self.y["logits"])[int(k), 0]

    def of_m(self) -> float:
        return self.logits.max()

    def of_exp(self, k: str) -> float:
        return np.exp(self.logits[int(k)] - self.logits.max())

    def of_powers(self) -> float:
        return np.exp(self.logits - self.logits.max()).sum()

    def of_truth(self, k: str) -> float:
        return float(int(k) == self.label)

    def of_loss(self) -> float:
        return self.losses[0]

    def of_nudged(self, h: str, name: str, *place: str) -> float:
        """The loss with one weight moved by h."""
        parameters = {one: value.copy() for one, value in self.network.parameters.items()}
        parameters[f"{name}.weight"][tuple(map(int, place))] += float(h)
        output = self.network.with_parameters(parameters).forward(self.x).output
        return reference.cross_entropy(output, np.array([self.label]))[0][0]

    def of_measured(self, h: str, name: str, *place: str) -> float:
        return (self.of_nudged(h, name, *place) - self.of_loss()) / float(h)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """The tour's network, a little trained so that no two digits are read alike, saved and read again."""
    path = tmp_path_factory.mktemp("network") / "net.safetensors"
    network, data = Network("cnn-4-4-8-16", classes=10, seed=0), load_digits(0)
    train(network, data, epochs=1, batch=32, learning_rate=0.02, check=False)
    network.save(path)
    return Network.load(path)


@pytest.fixture(scope="module")
def truth(network: Network) -> Truth:
    test = load_digits(0).test
    return Truth(network, test.images[INDEX], int(test.labels[INDEX]))


@pytest.fixture(scope="module")
def written(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lesson")


@pytest.fixture
def page(chromium: Any, network: Network, written: Path, invented: Facts, pictures: Facts) -> Iterator[Any]:
    """The tour's page with that network; nothing may be asked of any other, and nothing said on the console."""
    path, data = written / "index.html", load_digits(0)
    if not path.exists():
        lesson = {
            "network": network_table(network),
            "lesson": lesson_table(data.test.images[INDEX], data.test.labels[INDEX], data.classes),
        }
        path.write_text(pages.render_page(invented, {**pictures, **lesson}), encoding="utf-8")
    context = chromium.new_context(viewport={"width": 1280, "height": 1000}, reduced_motion="reduce")
    one = context.new_page()
    wrong: list[str] = []
    one.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    one.on("pageerror", lambda error: wrong.append(str(error)))
    one.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else wrong.append(asked.url))
    one.goto(path.as_uri())
    yield one
    assert wrong == []
    context.close()


def checked(page: Any, truth: Truth) -> set[str]:
    """Compare all numbers that are shown, to their last digit; what kinds they were."""
    kinds = set()
    for words, power, text in page.evaluate(READ):
        shown, digits = float(text.replace("−", "-")), len(text.partition(".")[2])
        value = truth(words) * 10**power
        digits = digits if "." in text or abs(value) > 0.5 or words.startswith("truth") else 15
        assert abs(shown - value) <= 0.5 * 10**-digits * (1 + 1e-6) + 1e-9, f"{words}: {text} is {value}"
        kinds.add("product" if "*" in words else words.split()[0])
    return kinds


def stop(page: Any, name: str) -> None:
    page.click(f".chain button:text-is('{name}')")


def turn(page: Any, way: str) -> None:
    page.click(f".ways button[value={way}]")


def point(page: Any, row: int, column: int, rows: int, columns: int) -> None:
    """Click on a place of the large map."""
    field = page.locator(".field")
    box = field.bounding_box()
    field.click(position={"x": (column + 0.5) * box["width"] / columns, "y": (row + 0.5) * box["height"] / rows})


def grid(shape: tuple[int, ...]) -> tuple[int, int]:
    return shape[1:3] if len(shape) == 4 else {128: (8, 16), 10: (1, 10)}[shape[0]]


@pytest.mark.parametrize("way", ["forth", "back"])
@pytest.mark.parametrize("name", STOPS)
def test_every_number_is_what_python_computes(page: Any, truth: Truth, name: str, way: str):
    """Rejects a window that is off by one, a bias forgotten, weights not turned on the way back, a pool whose gradient
    goes to all four, p - t of another class, a rectifier on the logits, and numbers of the place before."""
    rng = np.random.default_rng(len(name) + len(way))
    stop(page, name)
    turn(page, way)
    kinds = checked(page, truth)
    for _ in range(3 if name != "loss" else 0):
        shape = truth.y[name].shape
        rows, columns = grid(shape)
        row, column = int(rng.integers(rows)), int(rng.integers(columns))
        thumbs = page.locator(".pointing .thumb")
        map_ = int(rng.integers(thumbs.count())) if thumbs.count() else 0
        if thumbs.count():
            thumbs.nth(map_).click()
        point(page, row, column, rows, columns)
        place = [map_, row, column] if len(shape) == 4 else [row * columns + column]
        part = "y" if way == "forth" else "dy"
        assert page.get_attribute(".result .num", "data-is") == " ".join(map(str, [part, name, *place]))
        sources = page.locator(".figures .thumbs .thumb")
        if sources.count() > 1:
            sources.nth(int(rng.integers(sources.count()))).click()
        kinds |= checked(page, truth)
    assert kinds
    bare = page.evaluate("""() => { const copy = document.querySelector(".working").cloneNode(true);
      copy.querySelectorAll(".num, .quoted, .formulas, .nudge .sort").forEach((one) => one.remove());
      return copy.textContent; }""")
    assert not re.search(r"\d\.\d", bare), bare


def test_a_weights_gradient_is_its_sum_and_foretells_the_loss(page: Any, truth: Truth):
    """Rejects a gradient at the window's place alone, a nudge that stays in the weight, and a slope of wrong sign."""
    kinds = set()
    for name, cell in [
        ("conv2", ".cells >> nth=1 >> button >> nth=3"),
        ("conv4", ".cells >> nth=1 >> button >> nth=5"),
    ]:
        stop(page, name)
        turn(page, "forth")
        page.click(f".figures {cell}")
        kinds |= checked(page, truth)
        for choice in page.locator(".nudge .sort button").all():
            choice.click()
            kinds |= checked(page, truth)
    stop(page, "dense")
    page.click(".terms td button >> nth=2")
    kinds |= checked(page, truth)
    assert {"dw", "nudged", "measured", "rest", "product", "w", "loss"} <= kinds
    foretold, measured = (
        float(page.text_content(f".nudge [data-is^='{words}']").replace("−", "-")) for words in ("dw", "measured")
    )
    assert measured == pytest.approx(foretold, rel=0.02, abs=1e-5)


def test_a_number_leads_to_those_that_it_is_made_of(page: Any, truth: Truth):
    """Rejects a link to a neighbour, a way back that goes forward, and a guided way that leaves out a layer."""
    stop(page, "logits")
    page.click(".terms th button >> nth=0")
    assert page.text_content(".working h3").startswith("dense, unit ")
    page.click(".terms th button >> nth=0")
    assert page.text_content(".working h3").startswith("pool2, map ")
    page.click(".figures .cells button.mark")
    assert page.text_content(".working h3").startswith("conv4, map ")
    page.click(".turn .before >> visible=true")
    assert page.text_content(".working h3").startswith("pool2, map ")
    stop(page, "conv1")
    turn(page, "forth")
    seen = []
    while page.locator("#lesson .turn .after").is_visible():
        page.click("#lesson .turn .after")
        seen.append(re.split(r"[, ]", page.text_content(".working h3").strip())[0])
        checked(page, truth)
    assert seen == [*STOPS[2:8], "logit", "loss", "loss", "logit", *STOPS[7:0:-1], "conv1"]


def test_keys_move_the_point_and_the_pointer_only_looks(page: Any, truth: Truth):
    """Rejects a point that leaves the map, a map that cannot be reached by keys, and a hover that loses the place."""
    stop(page, "conv3")
    point(page, 0, 12, 14, 14)

    def where() -> str:
        return str(page.get_attribute(".result .num", "data-is"))

    page.focus(".field")
    for key, place in [
        ("ArrowUp", "0 12"),
        ("ArrowRight", "0 13"),
        ("ArrowRight", "0 13"),
        ("ArrowDown", "1 13"),
        ("ArrowLeft", "1 12"),
    ]:
        page.keyboard.press(key)
        assert where().endswith(f" {place}"), key
    before = int(where().split()[2])
    page.keyboard.press("PageDown")
    assert int(where().split()[2]) == (before + 1) % 8
    page.click(".moves button[value=left]")
    assert where().endswith(" 1 11")
    pinned, box = where(), page.locator(".field").bounding_box()
    page.mouse.move(box["x"] + 3, box["y"] + 3)
    assert where().endswith(" 0 0")
    page.mouse.move(box["x"] - 5, box["y"] - 5)
    assert where() == pinned
    page.click(".moves button[value=top]")
    own = truth.y["conv3"][int(where().split()[2]), :, :, 0]
    assert where().endswith("{} {}".format(*np.unravel_index(own.argmax(), own.shape)))
    cells = page.locator(".factors .cells").first
    inner = cells.locator("button[tabindex='0']")
    assert inner.count() == 1
    inner.focus()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.tabIndex") == 0
    assert cells.locator("button[tabindex='0']").count() == 1


def test_the_tasks_know_right_from_wrong(page: Any, truth: Truth):
    """Rejects a task that takes any answer, one that asks for the largest by sign, and a gradient without p - t."""
    weights, gradient, pool = page.locator(".task").all()
    for _ in range(3):
        keys = weights.locator("button.cell .num").evaluate_all("all => all.map((one) => one.dataset.is)")
        seen = weights.locator(".cells").first.locator(".num").evaluate_all("all => all.map((one) => one.dataset.is)")
        products = np.abs([truth(one) * truth(other) for one, other in zip(keys, seen, strict=True)])
        weights.locator("button.cell").nth(int(products.argmin())).click()
        assert weights.locator(".verdict.wrong").count() == 1
        weights.locator("button.cell").nth(int(products.argmax())).click()
        assert weights.locator(".verdict.right").count() == 1
        (unit, k) = gradient.locator("p .num").evaluate_all("all => all.map((one) => one.dataset.is.split(' ').at(-1))")
        answer = truth(f"dw logits {k} {unit}")
        for given, right in [
            (answer, True),
            (-answer, False),
            ("no", False),
            (f"{answer:.3f}".replace(".", ","), True),
        ]:
            gradient.locator("input").fill(str(given))
            gradient.locator("button[type=submit]").click()
            assert gradient.locator(f".verdict.{'right' if right else 'wrong'}").count() == 1, given
        fours = pool.locator("button.cell .num").evaluate_all("all => all.map((one) => one.dataset.is)")
        values = [truth(one) for one in fours]
        pool.locator("button.cell").nth(int(np.argmin(values))).click()
        assert pool.locator(".verdict.wrong").count() == 1
        pool.locator("button.cell").nth(int(np.argmax(values))).click()
        assert pool.locator(".verdict.right").count() == 1
        checked(page, truth)
        for each in (weights, gradient, pool):
            each.locator("button:text-is('another one')").click()


def test_on_a_phone_nothing_is_wider_than_the_page(page: Any):
    """Rejects a formula, a table or a row of choices that makes the page scroll sideways; a tap points, too."""
    page.set_viewport_size({"width": 390, "height": 800})
    while page.locator("#lesson .turn .after").is_visible():
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.click("#lesson .turn .after")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    stop(page, "pool2")
    point(page, 6, 6, 7, 7)
    assert page.get_attribute(".result .num", "data-is").endswith(" 6 6")


def test_the_code_beside_the_numbers_is_the_references_own(page: Any):
    """Rejects code that was copied once and has changed since, and a layer beside another's."""
    stop(page, "pool1")
    turn(page, "forth")
    assert page.locator(".quoted pre:not([hidden])").count() == 1
    assert page.text_content(".quoted pre:not([hidden])") == inspect.getsource(reference.max_pool)
    turn(page, "back")
    assert page.text_content(".quoted pre:not([hidden])") == inspect.getsource(reference.convolve_input_gradient)


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_the_tour_is_for_everybody(page: Any, faults: Any, width: int, scheme: str):
    """Rejects contrasts that are too low, a name that is not what is read, a paragraph that plays a heading, and a
    table that keys cannot scroll: of the page as it opens, of the way back, and of a map enlarged."""
    page.set_viewport_size({"width": width, "height": 850})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    assert faults(page) == []
    turn(page, "back")
    stop(page, "conv2")
    page.click(".wall button >> nth=0")
    assert faults(page) == []


def test_what_a_person_draws_is_worked_out_and_the_truth_is_hers(page: Any, network: Network):
    """Rejects the page's digit in place of the drawing, numbers of the digit before, a truth that is not what the
    network reads, and another truth that changes the words but no gradient."""
    page.evaluate("document.addEventListener('follow', ({ detail }) => { window.given = [...detail.image]; })")
    easel = page.locator(".easel")
    easel.scroll_into_view_if_needed()
    box = easel.bounding_box()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.8 * box["height"], steps=6)
    page.mouse.up()
    page.click("#play .follow")
    drawn = np.array(page.evaluate("window.given"), np.float32).reshape(1, 28, 28)
    guess = int(network.predict(drawn[None])[0].argmax())
    assert page.input_value("[name=truth]") == str(guess)
    assert page.text_content(".result .num") != "0"
    for label in (guess, (guess + 3) % 10):
        page.select_option("[name=truth]", str(label))
        told = Truth(network, drawn, label)
        for name in ("digit", "conv1", "pool1", "dense", "logits", "loss"):
            for way in ("forth", "back"):
                stop(page, name)
                turn(page, way)
                assert checked(page, told)
