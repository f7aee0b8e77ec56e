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
    from pellucid.learn.experiments.cluster_comparison import compare_clusters as compare_clusters
    from pellucid.learn.experiments.clusters import cluster_data as cluster_data
    from pellucid.learn.experiments.clusters import scan_clusters as scan_clusters
    from pellucid.learn.experiments.grid_search import study as study
    from pellucid.learn.gradient_check import check_gradients as check_gradients
    from pellucid.learn.layers import Conv as Conv
    from pellucid.learn.layers import Dense as Dense
    from pellucid.learn.layers import Flatten as Flatten
    from pellucid.learn.layers import Pool as Pool
    from pellucid.learn.metrics import evaluate as evaluate
    from pellucid.learn.network import Network as Network
    from pellucid.learn.training import train as train
    from pellucid.see.dataset.activations import inspect as inspect
    from pellucid.see.dream.dream import dream as dream
    from pellucid.see.dream.octaves import octaves as octaves
    from pellucid.see.dream.zoom import zoom as zoom
    from pellucid.see.models.open import open_model as open_model
    from pellucid.see.patterns.api import pattern as pattern
    from pellucid.see.patterns.api import patterns as patterns
    from pellucid.show.atlas.build import atlas as atlas

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
    "check_gradients": "pellucid.learn.gradient_check",
    "study": "pellucid.learn.experiments.grid_search",
    "scan_clusters": "pellucid.learn.experiments.clusters",
    "cluster_data": "pellucid.learn.experiments.clusters",
    "compare_clusters": "pellucid.learn.experiments.cluster_comparison",
    "open_model": "pellucid.see.models.open",
    "patterns": "pellucid.see.patterns.api",
    "pattern": "pellucid.see.patterns.api",
    "dream": "pellucid.see.dream.dream",
    "octaves": "pellucid.see.dream.octaves",
    "zoom": "pellucid.see.dream.zoom",
    "inspect": "pellucid.see.dataset.activations",
    "atlas": "pellucid.show.atlas.build",
    "PellucidError": "pellucid.errors",
}

_OLD_NAMES = {"zoomed": "zoom"}  # still found for one release, listed nowhere

__all__ = [*_HOMES]  # noqa: PLE0604 (they are strings)


if not TYPE_CHECKING:  # a checker that saw this would believe in every name

    def __getattr__(name):  # noqa: ANN001, ANN202
        """The object of that name, imported from its room; AttributeError for a name that the front door lacks."""
        if name == "__version__":
            value = importlib.import_module("importlib.metadata").version("pellucid")
        elif name in _OLD_NAMES:
            value = __getattr__(_OLD_NAMES[name])
        elif name in _HOMES:
            value = getattr(importlib.import_module(_HOMES[name]), name)
        else:
            raise AttributeError(f"module 'pellucid' has no attribute '{name}'")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
