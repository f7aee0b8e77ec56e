"""Programs: a pass through a network, and its input's gradient back, as instructions for one compiled call.

Program: a network, a layer, one unit of it for each image -> where images go in, what the units say, the gradient

Small batches take layers in microseconds. Between layers the interpreter would be asked what is next, and threads that
take its lock so often keep each other waiting: two of them were hardly faster than one. So the pass is written down
once (see `instructions`), with all its arrays in one block of memory and all weights in the order in which kernels read
them, and runs without the interpreter. Between dense layers images are rows, (image, feature), as `active` has them;
elsewhere the batch is innermost. The price: a program is for one size of batch, and does not learn of weights that
change.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64, Integer

from pellucid.jit import LANES
from pellucid.learn import active, convolutions, instructions, kernels, sparse, team
from pellucid.learn.blocks import Block, Span
from pellucid.learn.instructions import FIELDS, FUNCTION, SIZE, SPANS, Instruction, run
from pellucid.learn.layers import Conv, Dense, Flatten, Layer, Parameters, Pool
from pellucid.learn.network import Network
from pellucid.learn.sparse import TOGETHER
from pellucid.learn.team import Place

Array = np.ndarray
Shape = tuple[int, int, int]
Step = tuple[Instruction, dict[str, Any]]


class Program:
    """One unit of a layer for each image of a batch: its pre-activation, and the way back to the images.

    images (batch, pixel): to be filled, in model space.  said (position, batch): what the units say, and then to be
    filled with the gradient of what is climbed, from which `backward` makes `gradient` (batch, pixel). Images and
    gradients are rows longer than their pixels.  forward, backward: for `instructions.run`, as long as there is this
    Program, which holds what they speak of.  pieces: of its largest product, for a team.
    """

    def __init__(self, network: Network, layer: str, units: Integer[Array, " batch"]) -> None:
        write = _Writer(network.dtype, len(units))
        stop = network.names.index(layer)
        shape: Shape = network.input_shape
        x = images = write.rows(shape)
        passes: list[_Pass] = []
        for below, name in zip(network.layers[:stop], network.names[:stop], strict=True):
            passes.append(write.forward(below, network.of_layer(name), shape, x))
            shape, x = passes[-1].out, passes[-1].y
        said, slope = write.own(network.layers[stop], network.of_layer(layer), shape, x, units)
        forward = len(write.steps) - 1
        gradient = write.backward(passes, slope, network.input_shape)
        self.pieces, self._blocks = write.pieces, write.blocks()
        with Place(self.pieces) as board:
            run(write.instructions(write.begun, self._blocks), board)
        self.forward, self.backward = np.split(write.instructions(write.steps, self._blocks), [forward])
        self.images, self.gradient = (
            self._blocks["x"][slice(*span)].reshape(len(units), -1) for span in (images, gradient)
        )
        self.said = self._blocks["x"][slice(*said)].reshape(-1, len(units))


@dataclass(frozen=True, eq=False)
class _Pass:
    """A layer's pass forward, as far as the way back needs it: a dense layer is one of images of one pixel."""

    layer: Layer
    weight: Array | None
    border: tuple[int, int]
    shape: Shape
    out: Shape
    x: Span
    y: Span
    winner: Span = (0, 0)


class _Writer:
    """Writes instructions, and knows where everything is."""

    def __init__(self, dtype: Any, batch: int) -> None:
        self._batch = batch
        self.floats, self._places, self._winners = Block(dtype), Block(np.uint32), Block(np.uint8)
        self._bits = Block(np.uint64)
        self._runs: list[Array] = [np.zeros((0, 5), np.uint64)]
        self._rows: set[Span] = set()  # where images are rows
        self._lists: dict[Span, tuple[Span, Span]] = {}  # those of rows: values, bits
        self._products: dict[Span, dict[str, Any]] = {}  # the instruction that makes rows, while nothing changes them
        self.steps: list[Step] = []
        self.begun: list[Step] = []  # to be done once, before the others
        self.pieces = 1

    def blocks(self) -> dict[str, Array]:
        """The memory that the instructions speak of, by the spans in it."""
        floats, places, bits = self.floats.made(), self._places.made(), self._bits.made()
        where = {"run": np.concatenate(self._runs), "winner": self._winners.made()}
        where |= dict.fromkeys(("offset", "row"), places) | dict.fromkeys(("bits", "found"), bits)
        return {span: where.get(span, floats) for span in SPANS}

    def instructions(self, steps: list[Step], blocks: Mapping[str, Array]) -> Int64[Array, "step number"]:
        """Steps that were written, with the addresses that arrays have in these blocks."""
        products = [fields for function, fields in steps if function is instructions.multiplied]
        for fields, following in zip(products, products[1:] + products[:1], strict=True):
            fields |= {"next": following["w"], "line": active.panel_sizes(following["maps"], following["taps"])[1]}
        rows = np.zeros((len(steps), SIZE), np.int64)
        places = {name: (FIELDS.index(name), block.ctypes.data, block.strides[0]) for name, block in blocks.items()}
        for row, (function, fields) in zip(rows, steps, strict=True):
            row[FUNCTION] = team.compiled(function, self.floats.dtype)
            for name, value in fields.items():
                if isinstance(value, Array):
                    at = FIELDS.index(name)
                    row[at], row[at + 1] = value.ctypes.data, value.size
                elif name in places:
                    (at, place, stride), (begin, end) = places[name], value
                    row[at], row[at + 1] = place + begin * stride, end - begin
                else:
                    row[FIELDS.index(name)] = value
        return rows

    def forward(self, layer: Layer, parameters: Parameters, shape: Shape, x: Span) -> _Pass:
        """A layer of all units."""
        if isinstance(layer, Flatten):
            return _Pass(layer, None, (0, 0), shape, (math.prod(shape), 1, 1), x, x)
        x = self._in_rows(x, shape) if isinstance(layer, Dense) else self._in_columns(x, shape)
        if isinstance(layer, Pool):
            return self._pool(layer, shape, x)
        weight, border, out = _as_convolution(layer, parameters, shape)
        rectify = _activation(layer) == "relu"
        if isinstance(layer, Dense):
            y = self._multiply(x, parameters["weight"], False, parameters["bias"], rectify)
        else:
            y = self._convolve(x, shape, weight, parameters["bias"], border, out, rectify)
        if _activation(layer) == "sigmoid":
            self._add(instructions.sigmoid, x=y, y=y)
            self._products.pop(y, None)
        return _Pass(layer, weight, border, shape, out, x, y)

    def own(
        self, layer: Layer, parameters: Parameters, shape: Shape, x: Span, units: Integer[Array, " batch"]
    ) -> tuple[Span, Span]:
        """One unit of the last layer for each image, and the way back: where it is, and the gradient of what it saw."""
        weight, border, out = _as_convolution(layer, parameters, shape)
        where = self._where(convolutions.plan((*shape, self._batch), weight.shape[2:], border, out[1:]))
        x = self._in_columns(x, shape)
        said, slope = self._room((1, *out[1:])), self._room(shape)
        common = where | {"w": self.floats.put(convolutions.own_rows(weight[units])), "batch": self._batch}
        self._add(instructions.convolve_own, x=x, y=said, b=self.floats.put(parameters["bias"][units]), **common)
        self._add(instructions.convolve_own_back, x=slope, y=said, **common)
        return said, slope

    def backward(self, passes: list[_Pass], dy: Span, shape: Shape) -> Span:
        """The way back through these layers, from the gradient of the last one's output to that of the images.

        shape: of the images.
        """
        above: list[_Pass] = []  # a pool whose gradient is not spread yet
        for step in reversed(passes):
            if isinstance(step.layer, Flatten):
                continue
            if isinstance(step.layer, Dense):
                dy = self._multiply_back(step, self._through(step, self._in_rows(dy, step.out)))
                continue
            dy = self._in_columns(dy, step.out)
            pool = above.pop() if above else None
            if isinstance(step.layer, Pool):
                below = passes[passes.index(step) - 1] if passes.index(step) > 0 else None
                if step.layer.method == "max" and below is not None and _rectifies(below.layer):
                    # The largest of rectified pixels is where any of them answers; there are fewer of them.
                    self._add(instructions.rectified_back, x=dy, y=step.y)
                    above.append(step)
                else:
                    dy = self._unpool(step, dy)
            elif pool is not None and sparse.worthwhile(_filters(step)):
                dy = self._scatter(step, pool, dy)
            else:
                dy = self._unpool(pool, dy) if pool is not None else self._through(step, dy)
                dy = self._convolve_back(step, dy)
        return self._in_rows(dy, shape)

    def rows(self, shape: Shape) -> Span:
        """Room for images of this shape as rows of whole panels."""
        span = self.floats.reserve(self._batch * active.padded(math.prod(shape)))
        self._rows.add(span)
        return span

    def _through(self, step: _Pass, dy: Span) -> Span:
        """Back through an activation, in place: where dy is made, if that is a product."""
        kind = _activation(step.layer)
        if kind == "relu" and dy in self._products:
            self._products[dy]["gate"] = step.y
        elif kind in ("relu", "sigmoid"):
            self._add(instructions.rectified_back if kind == "relu" else instructions.sigmoid_back, x=dy, y=step.y)
            self._products.pop(dy, None)
        return dy

    def _pool(self, layer: Pool, shape: Shape, x: Span) -> _Pass:
        out = (shape[0], shape[1] // layer.size, shape[2] // layer.size)
        y, winner = self._room(out), self._winners.reserve(math.prod(out) * self._batch)
        if layer.method == "max":
            self._add(instructions.pool, x=x, y=y, winner=winner, size=layer.size, **self._windows(layer, shape))
        else:
            self._add(instructions.average, x=x, y=y, size=layer.size, **self._windows(layer, shape))
        return _Pass(layer, None, (0, 0), shape, out, x, y, winner)

    def _unpool(self, step: _Pass, dy: Span) -> Span:
        assert isinstance(step.layer, Pool)
        dx = self._room(step.shape)
        back = instructions.pool_back if step.layer.method == "max" else instructions.average_back
        windows = self._windows(step.layer, step.shape)
        self._add(back, x=dx, y=dy, winner=step.winner, size=step.layer.size, **windows)
        return dx

    def _windows(self, layer: Pool, shape: Shape) -> dict[str, Any]:
        """Where windows are, and their pixels."""
        pixels = kernels.window_places(layer.size, shape[2] * self._batch, self._batch)
        return self._sizes(shape) | {"offset": self._places.put(pixels)}

    def _convolve(
        self, x: Span, shape: Shape, w: Array, b: Array, border: tuple[int, int], out: Shape, rectify: bool = False
    ) -> Span:
        """As `convolutions.convolve`."""
        maps, channels, kh, kw = w.shape
        if self._batch < LANES and border != (0, 0):
            wide = (channels, out[1] + kh - 1, out[2] + kw - 1)
            into, line = self._room(wide), wide[2] * self._batch
            first = border[0] * line + border[1] * self._batch
            self._add(
                instructions.bordered, x=x, y=into, first=first, line=line, plane=wide[1] * line, **self._sizes(shape)
            )
            x, shape, border = into, wide, (0, 0)
        where = self._where(convolutions.plan((*shape, self._batch), (kh, kw), border, out[1:]))
        y, taps, plane = self._room((maps, *out[1:])), channels * kh * kw, out[1] * out[2] * self._batch
        packed = self.floats.put(convolutions.packed(w.reshape(maps, taps)))
        self._add(
            instructions.convolve,
            x=x,
            y=y,
            w=packed,
            b=self.floats.put(b),
            taps=taps,
            plane=plane,
            rectify=int(rectify),
            **where,
        )
        return y

    def _multiply(self, x: Span, w: Array, transposed: bool, b: Array, rectify: bool) -> Span:
        """As `active.multiply_panel`; x and y in rows. transposed: with w's transpose, for the way back."""
        units, features = w.shape[::-1] if transposed else w.shape
        self.pieces = max(self.pieces, active.padded(units) // active.PANEL)
        y, weights = self.rows((units, 1, 1)), self._panels(w, transposed)
        values, bits = self._listed(x, features)
        fields = {
            "x": values,
            "bits": bits,
            "w": weights,
            "b": self.floats.put(b, active.padded(units)),
            "y": y,
            "job": team.compiled(instructions.multiplied_panel, self.floats.dtype),
        }
        sizes = {"maps": units, "taps": features, "batch": self._batch, "rectify": int(rectify)}
        self._products[y] = self._add(instructions.multiplied, **fields, **sizes)
        return y

    def _panels(self, w: Array, transposed: bool) -> Span:
        """Weights as products read them, when the program has begun. transposed: those of w's transpose."""
        units, features = w.shape[::-1] if transposed else w.shape
        span = self.floats.reserve(active.panel_sizes(units, features)[0], zero=False)
        job = team.compiled(instructions.laid_panel, self.floats.dtype)
        sizes = {"maps": units, "taps": features, "line": w.shape[1], "first": int(transposed)}
        self.begun.append((instructions.laid_out, {"x": np.ascontiguousarray(w), "w": span, "job": job, **sizes}))
        return span

    def _listed(self, x: Span, features: int) -> tuple[Span, Span]:
        """The lists of rows: made together with these, if that is by a product."""
        if x not in self._lists:
            room, many = active.listed_room(self._batch, features)
            lists = (self.floats.reserve(room), self._bits.reserve(many))
            fields = dict(zip(("values", "found"), lists, strict=True))
            if x in self._products:
                self._products[x].update(fields)
            else:
                sizes = {"batch": self._batch, "taps": features, "line": active.padded(features)}
                self._add(instructions.listing, x=x, **fields, **sizes)
            self._lists[x] = lists
        return self._lists[x]

    def _multiply_back(self, step: _Pass, dy: Span) -> Span:
        """The gradient of a dense layer's input."""
        w = _filters(step)[:, :, 0, 0]
        return self._multiply(dy, w, True, np.zeros(w.shape[1], w.dtype), False)

    def _in_rows(self, x: Span, shape: Shape) -> Span:
        """Images as rows."""
        if x in self._rows:
            return x
        features, y = math.prod(shape), self.rows(shape)
        sizes = {"height": self._batch, "width": features, "line": self._batch, "size": active.padded(features)}
        self._add(instructions.turned, x=x, y=y, **sizes)
        return y

    def _in_columns(self, x: Span, shape: Shape) -> Span:
        """Images with the batch innermost."""
        if x not in self._rows:
            return x
        features, y = math.prod(shape), self._room(shape)
        sizes = {"height": features, "width": self._batch, "line": active.padded(features), "size": self._batch}
        self._add(instructions.turned, x=x, y=y, **sizes)
        return y

    def _convolve_back(self, step: _Pass, dy: Span) -> Span:
        """As `convolutions.convolve_input_gradient`."""
        w = _filters(step)
        around = (w.shape[2] - 1 - step.border[0], w.shape[3] - 1 - step.border[1])
        nothing = np.zeros(w.shape[1], w.dtype)
        return self._convolve(dy, step.out, convolutions.turned(w), nothing, around, step.shape)

    def _scatter(self, step: _Pass, pool: _Pass, dy: Span) -> Span:
        """As `sparse.input_gradient`."""
        assert isinstance(pool.layer, Pool)
        w, layout = _filters(step), sparse.layout(_filters(step).shape, pool.shape[1:], step.border)
        corners, pixels = sparse.window_places(pool.out[1:], pool.layer.size, layout.line, step.shape[0])
        dx = self._room(step.shape)
        self._add(
            instructions.scatter,
            x=dx,
            y=dy,
            w=self.floats.put(sparse.filter_rows(w)),
            winner=pool.winner,
            offset=self._places.put(corners),
            row=self._places.put(pixels),
            scratch=self.floats.reserve(min(self._batch, TOGETHER) * layout.size),
            maps=w.shape[0],
            taps=w.shape[2],
            size=layout.size,
            first=layout.first,
            line=layout.line,
            **self._sizes(step.shape),
        )
        return dx

    def _room(self, shape: Shape) -> Span:
        return self.floats.reserve(math.prod(shape) * self._batch)

    def _sizes(self, shape: Shape) -> dict[str, Any]:
        return {"channels": shape[0], "height": shape[1], "width": shape[2], "batch": self._batch}

    def _where(self, plan: convolutions.Plan) -> dict[str, Any]:
        """A plan, and where it is kept."""
        begin = sum(map(len, self._runs))
        self._runs.append(plan.runs)
        spans = {"offset": self._places.put(plan.offsets), "row": self._places.put(plan.rows)}
        return spans | {"run": (begin, begin + len(plan.runs))}

    def _add(self, function: Instruction, **fields: Any) -> dict[str, Any]:
        """An instruction; spans are pairs. What it says may be added to until it is given away."""
        self.steps.append((function, fields))
        return fields


def _as_convolution(layer: Layer, parameters: Parameters, shape: Shape) -> tuple[Array, tuple[int, int], Shape]:
    """The filters, the border and the output's shape of a layer with weights."""
    weight = parameters["weight"]
    if isinstance(layer, Dense):
        return weight[:, :, None, None], (0, 0), (len(weight), 1, 1)
    assert isinstance(layer, Conv)
    maps, height, width = layer.output_shape(shape)
    return weight, layer.border, (maps, height, width)


def _activation(layer: Layer) -> str:
    assert isinstance(layer, Conv | Dense)
    return layer.activation


def _rectifies(layer: Layer) -> bool:
    return isinstance(layer, Conv) and layer.activation == "relu"


def _filters(step: _Pass) -> Array:
    assert step.weight is not None
    return step.weight
