"""Pellucid: train an image network from scratch, see what every unit answers to, let it dream on a photograph.

front door: name -> the object, imported from its room when it is first asked for

`import pellucid` itself loads neither PyTorch nor Numba, so that scripts and `pellucid --help` start at once.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pellucid.data.load import load_data as load_data
    from pellucid.data.splits import Data as Data
    from pellucid.data.splits import Split as Split
    from pellucid.errors import PellucidError as PellucidError
    from pellucid.learn.clusters import cluster_data as cluster_data
    from pellucid.learn.clusters import scan_clusters as scan_clusters
    from pellucid.learn.comparison import compare_clusters as compare_clusters
    from pellucid.learn.gradients import check_gradients as check_gradients
    from pellucid.learn.layers import Conv as Conv
    from pellucid.learn.layers import Dense as Dense
    from pellucid.learn.layers import Flatten as Flatten
    from pellucid.learn.layers import Pool as Pool
    from pellucid.learn.metrics import evaluate as evaluate
    from pellucid.learn.network import Network as Network
    from pellucid.learn.studies import study as study
    from pellucid.learn.training import train as train
    from pellucid.see.dreams import dream as dream
    from pellucid.see.internals import inspect as inspect
    from pellucid.see.models import open_model as open_model
    from pellucid.see.octaves import octaves as octaves
    from pellucid.see.patterns import pattern as pattern
    from pellucid.see.patterns import patterns as patterns
    from pellucid.see.zooms import zoomed as zoomed
    from pellucid.show.atlas import atlas as atlas

    __version__: str

# Every name of the front door and its room; a test holds it against the imports above, which checkers read.
_HOMES = {
    "load_data": "pellucid.data.load",
    "Data": "pellucid.data.splits",
    "Split": "pellucid.data.splits",
    "Network": "pellucid.learn.network",
    "Conv": "pellucid.learn.layers",
    "Pool": "pellucid.learn.layers",
    "Flatten": "pellucid.learn.layers",
    "Dense": "pellucid.learn.layers",
    "train": "pellucid.learn.training",
    "evaluate": "pellucid.learn.metrics",
    "check_gradients": "pellucid.learn.gradients",
    "study": "pellucid.learn.studies",
    "scan_clusters": "pellucid.learn.clusters",
    "cluster_data": "pellucid.learn.clusters",
    "compare_clusters": "pellucid.learn.comparison",
    "open_model": "pellucid.see.models",
    "patterns": "pellucid.see.patterns",
    "pattern": "pellucid.see.patterns",
    "dream": "pellucid.see.dreams",
    "octaves": "pellucid.see.octaves",
    "zoomed": "pellucid.see.zooms",
    "inspect": "pellucid.see.internals",
    "atlas": "pellucid.show.atlas",
    "PellucidError": "pellucid.errors",
}

__all__ = [*_HOMES]  # noqa: PLE0604 (they are strings)


if not TYPE_CHECKING:  # a checker that saw this would believe in every name

    def __getattr__(name):  # noqa: ANN001, ANN202
        """The object of that name, imported from its room; AttributeError for a name that the front door lacks."""
        if name == "__version__":
            value = importlib.import_module("importlib.metadata").version("pellucid")
        elif name in _HOMES:
            value = getattr(importlib.import_module(_HOMES[name]), name)
        else:
            raise AttributeError(f"module 'pellucid' has no attribute '{name}'")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
