"""MNIST: found where it lies, fetched where it does not, and itself when it is there."""

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_files import write_idx
from pellucid.data import mnist
from pellucid.data.idx import read_idx
from pellucid.data.load import load_data
from pellucid.data.mnist import MIRRORS, SUMS, find_mnist, load_mnist
from pellucid.errors import PellucidError

RNG = np.random.default_rng(0)
SMALL = {
    "train-images-idx3-ubyte": RNG.integers(0, 256, (12, 28, 28), np.uint8),
    "train-labels-idx1-ubyte": np.arange(12, dtype=np.uint8) % 10,
    "t10k-images-idx3-ubyte": RNG.integers(0, 256, (3, 28, 28), np.uint8),
    "t10k-labels-idx1-ubyte": np.array([9, 8, 7], np.uint8),
}


def put(folder: Path, suffix: str = ".gz", but: str = "") -> Path:
    """The four files, small, in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in SMALL.items():
        if name != but:
            write_idx(folder / (name + suffix), array)
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no variable, and no way out to the network."""
    monkeypatch.delenv(mnist.VARIABLE, raising=False)
    monkeypatch.setattr(mnist, "cache_folder", lambda: tmp_path / "cache" / "mnist")
    monkeypatch.setattr("pooch.HTTPDownloader", lambda **_: pytest.fail("the network was asked"))
    return tmp_path / "cache" / "mnist"


def test_dotted_names_and_a_folder_for_each_file_are_read(tmp_path: Path) -> None:
    """Rejects names as archives unpack them passed over for another MNIST, and a set of another size."""
    for name, array in SMALL.items():
        write_idx(tmp_path / name.replace("-idx", ".idx"), array)
        (tmp_path / "nested" / name).mkdir(parents=True)
        write_idx(tmp_path / "nested" / name / name, array)
        (tmp_path / "nested" / "empty-images").mkdir(exist_ok=True)
    for folder in (tmp_path, tmp_path / "nested"):
        for data in (load_mnist(folder), load_data(folder)):
            assert np.array_equal(data.test.images[:, 0], SMALL["t10k-images-idx3-ubyte"] / np.float32(255))
            assert sorted(data.part("all").labels.tolist()) == sorted([*range(10), 0, 1, 9, 8, 7])


@pytest.mark.parametrize("suffix", [".gz", ""])
@pytest.mark.parametrize("below", ["", "mnist"])
def test_all_four_are_found_flat_or_below_packed_or_not(tmp_path: Path, suffix: str, below: str) -> None:
    """Rejects one layout only, and dev taken from elsewhere than the end of the training files."""
    put(tmp_path / "root" / below, suffix)
    data = load_mnist(tmp_path / "root")
    assert data.train.labels.tolist() == [*range(10)]
    assert data.dev.labels.tolist() == [0, 1]
    assert data.test.labels.tolist() == [9, 8, 7]
    assert (data.name, data.classes, data.input_shape) == ("mnist", tuple("0123456789"), (1, 28, 28))
    both = np.concatenate([data.train.images, data.dev.images])
    assert np.array_equal(both[:, 0], SMALL["train-images-idx3-ubyte"] / np.float32(255))


def test_places_are_asked_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Rejects another order than root, variable, cache, and MNIST from elsewhere where a folder was named for it."""
    (tmp_path / "empty").mkdir()
    assert find_mnist() is None
    put(cache)
    assert find_mnist()["train-images-idx3-ubyte.gz"].parent == cache  # type: ignore[index]
    monkeypatch.setenv(mnist.VARIABLE, str(put(tmp_path / "variable")))
    assert find_mnist()["train-images-idx3-ubyte.gz"].parent == tmp_path / "variable"  # type: ignore[index]
    with pytest.raises(PellucidError, match=r"'.*empty' lacks files of MNIST: train-images-idx3-ubyte, train-labels"):
        find_mnist(tmp_path / "empty")
    monkeypatch.setenv(mnist.VARIABLE, str(tmp_path / "empty"))
    with pytest.raises(PellucidError, match=r"\$PELLUCID_DATA '.*empty' lacks files"):
        find_mnist()
    put(tmp_path / "root")
    assert find_mnist(tmp_path / "root")["train-images-idx3-ubyte.gz"].parent == tmp_path / "root"  # type: ignore[index]
    monkeypatch.setenv(mnist.VARIABLE, "")
    assert find_mnist()["train-images-idx3-ubyte.gz"].parent == cache  # type: ignore[index]


def test_places_that_are_not_there_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejects a download because of a misspelt folder."""
    with pytest.raises(PellucidError, match=r"data folder '.*nowhere' is no folder"):
        load_mnist(tmp_path / "nowhere")
    monkeypatch.setenv(mnist.VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(PellucidError, match=r"\$PELLUCID_DATA '.*nowhere' is no folder"):
        load_mnist()


def test_a_folder_with_some_of_the_files_says_which_is_missing(tmp_path: Path) -> None:
    """Rejects going on to another place, which would mix two data sets or hide a copy cut short."""
    put(tmp_path / "root", but="t10k-labels-idx1-ubyte")
    with pytest.raises(PellucidError, match=r"lacks files of MNIST: t10k-labels-idx1-ubyte; put them there"):
        load_mnist(tmp_path / "root")


def test_files_of_another_shape_are_refused(tmp_path: Path) -> None:
    """Rejects another data set under MNIST's names, and labels in the place of images."""
    put(tmp_path / "root")
    write_idx(tmp_path / "root" / "t10k-images-idx3-ubyte.gz", np.zeros((3, 28, 27), np.uint8))
    with pytest.raises(
        PellucidError, match=r"uint8 numbers of shape \(3, 28, 27\), .* \(3, 28, 28\); put the original"
    ):
        load_mnist(tmp_path / "root")


def test_a_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    """Rejects a traceback for a copy that was cut short."""
    path = put(tmp_path / "root") / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(PellucidError, match=r"train-images-idx3-ubyte\.gz' cannot be unpacked"):
        load_mnist(tmp_path / "root")


Serve = Callable[[str, str], None]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Serve], list[str]]:
    """Lets the real pooch download through a function (address, file); gives the addresses that it asked."""

    def install(serve: Serve) -> list[str]:
        asked: list[str] = []

        def download(url: str, output: Any, _: object) -> None:
            asked.append(url)
            serve(url, output)

        folder = put(tmp_path / "originals")
        sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in SUMS}
        monkeypatch.setattr(mnist, "SUMS", sums)
        monkeypatch.setattr("pooch.HTTPDownloader", lambda **_: download)
        return asked

    return install


def original(tmp_path: Path, url: str) -> bytes:
    return (tmp_path / "originals" / url.rpartition("/")[2]).read_bytes()


def test_what_is_found_nowhere_is_downloaded_once(served: Any, tmp_path: Path, cache: Path) -> None:
    """Rejects downloading again what the cache has, and a first mirror that is the only one."""

    def serve(url: str, output: str) -> None:
        if url.startswith(MIRRORS[0]):
            raise ConnectionError
        Path(output).write_bytes(original(tmp_path, url))

    asked = served(serve)
    data = load_mnist()
    assert data.test.labels.tolist() == [9, 8, 7]
    assert asked == [mirror + name for name in SUMS for mirror in MIRRORS]
    assert sorted(path.name for path in cache.iterdir()) == sorted(SUMS)
    load_mnist()
    assert len(asked) == 8


@pytest.mark.parametrize("suffix", [".gz", ""])
def test_a_download_goes_on_where_it_stopped(served: Any, tmp_path: Path, cache: Path, suffix: str) -> None:
    """Rejects fetching everything again after the last of four files failed, or what was put there unpacked."""
    put(cache, suffix, but="t10k-labels-idx1-ubyte")
    asked = served(lambda url, output: Path(output).write_bytes(original(tmp_path, url)))
    assert len(load_mnist().test) == 3
    assert asked == [MIRRORS[0] + "t10k-labels-idx1-ubyte.gz"]


def test_no_network_is_one_sentence_that_says_where_to_put_the_files(served: Any, cache: Path) -> None:
    """Rejects a traceback, and half a file in the cache."""

    def serve(url: str, output: str) -> None:
        Path(output).write_bytes(b"half")
        raise ConnectionError

    served(serve)
    with pytest.raises(PellucidError) as caught:
        load_mnist()
    sentence = str(caught.value)
    assert all(
        part in sentence for part in (*SUMS, *MIRRORS, str(cache), "ConnectionError", "by hand", "$PELLUCID_DATA")
    )
    assert "\n" not in sentence
    assert list(cache.iterdir()) == []


def test_other_bytes_than_the_originals_are_not_kept(served: Any, cache: Path) -> None:
    """Rejects a page of a captive portal taken for data, and keeping it in the cache."""
    served(lambda _, output: Path(output).write_bytes(b"<html>please log in</html>"))
    with pytest.raises(PellucidError, match="SHA-256 is not the original's"):
        load_mnist()
    assert list(cache.iterdir()) == []


def test_the_real_thing(mnist_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejects a wrong split, scale or order: against the files' published sizes, sums and first labels."""
    monkeypatch.undo()
    data = load_mnist(mnist_folder)
    assert [len(split) for split in (data.train, data.dev, data.test)] == [50_000, 10_000, 10_000]
    assert data.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert (data.train.images.min(), data.train.images.max()) == (0, 1)
    sums = [split.images.sum(dtype=np.float64) for split in (data.train, data.dev)]
    assert sum(sums) / (60_000 * 784) == pytest.approx(0.1306604763, abs=1e-6)
    raw = gzip.decompress((mnist_folder / "t10k-labels-idx1-ubyte.gz").read_bytes())
    assert hashlib.md5(raw).hexdigest() == "27ae3e4e09519cfbb04c329615203637"
    assert np.array_equal(read_idx(mnist_folder / "t10k-labels-idx1-ubyte.gz"), data.test.labels)
