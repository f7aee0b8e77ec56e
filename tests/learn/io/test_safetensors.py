"""Storage: what is saved comes back to the last bit; whatever else a file holds ends in one sentence."""

import gc
import json
import struct
import time
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError
from pellucid.learn.initializers import CALM
from pellucid.learn.io.description import describe, parsed
from pellucid.learn.io.safetensors import network_from_bytes
from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network

RNG = np.random.default_rng(0)
SHAPE = (2, 7, 5)
PLAN = [Conv(3, (2, 3), "sigmoid", "same"), Pool(2, "average"), Flatten(), Dense(4, "linear")]


def small(**options):
    net = Network(PLAN, **{"input_shape": SHAPE, "scaling": "standardized", **options})
    net.provenance = {"data": "none", "training": {"epochs": 3}}
    return net


def content(description=None, parameters=None, metadata=None):
    """A file of the small network with some of its parts replaced."""
    net = small()
    table = describe(net.stored) | (description or {})
    return save(net.parameters | (parameters or {}), {"pellucid": json.dumps(table)} if metadata is None else metadata)


WHOLE = content()


@pytest.mark.parametrize(
    "scaling", [None, Scaling("standardized"), Scaling("mean-deviation", RNG.random(SHAPE), 1 + RNG.random(SHAPE))]
)
def test_a_network_comes_back_to_the_last_bit(tmp_path, scaling):
    """Rejects weights rounded in text, a scaling forgotten, and layers whose fields are not all kept."""
    net = small(seed=3)
    net.scaling = scaling
    path = tmp_path / "net.safetensors"
    net.save(path)
    again = Network.load(path)
    assert again.layers == net.layers
    assert again.names == net.names
    assert again.input_shape == SHAPE
    assert again.scaling == net.scaling
    assert again.provenance == net.provenance
    assert (again.seed, again.initialization, again.architecture) == (3, CALM, "own")
    assert list(again.parameters) == list(net.parameters)
    assert all(np.array_equal(again.parameters[name], value) for name, value in net.parameters.items())
    again.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_a_network_to_be_scaled_by_features_keeps_its_plan(tmp_path):
    """Rejects a preset that loses its recipe, or gets a scaling that nobody measured."""
    Network("mlp-70-30").save(tmp_path / "net.safetensors")
    again = Network.load(tmp_path / "net.safetensors")
    assert again.scaling is None
    assert again.recipe == Network("mlp-70-30").recipe


def test_every_truncation_is_refused():
    """Rejects a reader that trusts sizes, at any byte where a disk may have become full."""
    for length in range(len(WHOLE)):
        with pytest.raises(PellucidError):
            network_from_bytes(WHOLE[:length])


@settings(max_examples=300)
@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_flipped_byte_is_a_network_or_a_sentence(position, change):
    """Rejects any other exception, whatever byte of the file a bad cable turns over."""
    damaged = bytearray(WHOLE)
    damaged[position] ^= change
    with suppress(PellucidError):
        network_from_bytes(bytes(damaged))


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(noise):
    """Rejects any other exception for a file that is something else."""
    with pytest.raises(PellucidError):
        network_from_bytes(noise)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200)
@given(st.sampled_from(sorted(describe(small().stored))), junk)
def test_any_entry_of_the_description_may_be_anything(entry, value):
    """Rejects a reader that trusts the types of what JSON holds."""
    with suppress(PellucidError):
        network_from_bytes(content({entry: value}))


@settings(max_examples=120)
@given(st.sampled_from(["kind", "maps", "kernel", "activation", "padding", "size", "method", "units", "colour"]), junk)
def test_any_field_of_a_layer_may_be_anything(field, value):
    """Rejects the same one level down."""
    layers = describe(small().stored)["layers"]
    for layer in layers:
        with suppress(PellucidError):
            network_from_bytes(
                content({"layers": [{**layer, field: value} if each is layer else each for each in layers]})
            )


def nested(depth):
    return "[" * depth + "]" * depth


def huge_header(size):
    return struct.pack("<Q", size) + b"{}"


def with_type(kind):
    header = json.dumps({"a": {"dtype": kind, "shape": [1], "data_offsets": [0, 8]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(8)


HUGE = {"kind": "dense", "units": 2**24, "activation": "linear"}
HOSTILE = {
    "empty": (b"", "cut short or something else"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "cut short or something else"),
    "a pickle": (b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00cos\nsystem\n.", "no whole safetensors file"),
    "a header beyond the end": (huge_header(2**63), "cut short or something else"),
    "a header that is too large": (
        struct.pack("<Q", 2**25) + bytes(2**25),
        "header has 33,554,432 bytes; at most 2,097,152",
    ),
    "deep JSON in the header": (struct.pack("<Q", 200_000) + nested(100_000).encode(), "no whole safetensors file"),
    "deep JSON in the metadata": (content(metadata={"pellucid": nested(100_000)}), "no whole safetensors file"),
    "no metadata": (save(small().parameters), "no entry 'pellucid'; weights of another tool need their module"),
    "other metadata": (content(metadata={"format": "pt"}), "no entry 'pellucid'"),
    "a list": (content(metadata={"pellucid": "[1]"}), "'pellucid' is no table"),
    "NaN in JSON": (content(metadata={"pellucid": '{"format": NaN}'}), "NaN is no number"),
    "1e999 in JSON": (content(metadata={"pellucid": '{"format": 1e999}'}), "1e999 is too large"),
    "a long number": (content(metadata={"pellucid": '{"format": ' + "9" * 5000 + "}"}), "no whole safetensors file"),
    "another format": (content({"format": 2}), "format 2; this version of Pellucid reads format 1"),
    "float64": (content(parameters={"logits.bias": np.zeros(4)}), "'logits.bias' has type 'F64'; need F32"),
    "bfloat16": (with_type("BF16"), "'a' has type 'BF16'; need F32"),
    "a type that is none": (with_type("PICKLE"), "'a' has type 'PICKLE'; need F32"),
    "a parameter too many": (content(parameters={"x.weight": np.zeros(1, "f4")}), "there is no parameter 'x.weight'"),
    "a parameter of another shape": (
        content(parameters={"logits.bias": np.zeros(5, "f4")}),
        "'logits.bias' must have shape (4,), but there is one of (5,)",
    ),
    "a parameter too few": (
        save({"conv1.bias": np.zeros(3, "f4")}, {"pellucid": json.dumps(describe(small().stored))}),
        "'conv1.weight' must have shape (3, 2, 2, 3), but there is none",
    ),
    "NaN in a parameter": (content(parameters={"conv1.bias": np.full(3, np.nan, "f4")}), "'conv1.bias' holds NaN"),
    "more than memory": (content({"layers": [{"kind": "flatten"}, HUGE, HUGE]}), "more than 16 GiB"),
    "more than the file holds": (
        content({"layers": [{"kind": "flatten"}, HUGE]}),
        "must have shape (16777216, 70), but there is one of (4, 18)",
    ),
    "too many layers": (content({"layers": [{"kind": "flatten"}] * 1001}), "need a list of 1 to 1000 tables"),
    "images too large": (content({"input_shape": [1, 10**9, 10**9]}), "too large"),
    "a scaling of another shape": (
        content({"scaling": Scaling("mean-deviation", np.zeros((2, 7, 6)), 1).to_dict()}),
        "mean of the scaling has shape (2, 7, 6), which does not fit images of (2, 7, 5)",
    ),
    "a recipe that is none": (content({"recipe": {"speed": 3}}), "there is no training setting 'speed'"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_wrong_is_said(name, tmp_path):
    """Rejects a message that does not name the file, or that blames something else."""
    path = tmp_path / "file.safetensors"
    path.write_bytes(HOSTILE[name][0])
    with pytest.raises(PellucidError) as refusal:
        Network.load(path)
    assert str(refusal.value).startswith(f"'{path}' is no network that Pellucid can open: ")
    assert HOSTILE[name][1] in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 500


def test_no_file_takes_long():
    """Rejects a reader that makes objects of megabytes of brackets, or looks at every tensor for each of them: what
    is refused takes little longer than to parse so many brackets."""
    brackets = b'{"__metadata__":{"pellucid":"[' + b"[]," * 690_000 + b'[]]"}}'
    tensors = {str(index): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for index in range(30_000)}
    begin = time.process_time()
    json.loads(b"[" + b"[]," * 690_000 + b"[]]")
    usual = time.process_time() - begin
    for header in (brackets, json.dumps(tensors).encode()):
        begin = time.process_time()
        with pytest.raises(PellucidError):
            network_from_bytes(struct.pack("<Q", len(header)) + header)
        assert time.process_time() - begin < 20 * usual


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_could_not_be_read_again_is_not_written(tmp_path, value):
    """Rejects a broken network that takes the place of a good one."""
    path = tmp_path / "net.safetensors"
    small().save(path)
    before = path.read_bytes()
    broken = small()
    broken.parameters["conv1.bias"][1] = value
    with pytest.raises(PellucidError, match=r"'conv1\.bias' holds NaN or infinity; nothing was written"):
        broken.save(path)
    with pytest.raises(PellucidError, match=r"has type float64; files hold float32"):
        small().astype(np.float64).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_alive_is_not_looked_through_for_every_file():
    """Rejects a reader whose time grows with all that the process holds, and one that leaves the collector off."""
    searches = []
    notice = lambda phase, _: searches.append(phase)  # noqa: E731
    gc.collect()
    gc.callbacks.append(notice)
    try:
        with pytest.raises(PellucidError):
            parsed("[" + "[]," * 5_000 + "[}", "a network")
    finally:
        gc.callbacks.remove(notice)
    assert not searches
    assert gc.isenabled()
