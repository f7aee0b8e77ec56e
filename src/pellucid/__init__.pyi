from .data.load import load_data as load_data
from .data.splits import Data as Data
from .data.splits import Split as Split
from .errors import PellucidError as PellucidError
from .learn.experiments.cluster_comparison import compare_clusters as compare_clusters
from .learn.experiments.clusters import cluster_data as cluster_data
from .learn.experiments.clusters import scan_clusters as scan_clusters
from .learn.experiments.grid_search import study as study
from .learn.gradient_check import check_gradients as check_gradients
from .learn.layers import Conv as Conv
from .learn.layers import Dense as Dense
from .learn.layers import Flatten as Flatten
from .learn.layers import Pool as Pool
from .learn.metrics import evaluate as evaluate
from .learn.network import Network as Network
from .learn.training import train as train
from .see.dataset.activations import inspect as inspect
from .see.dream.dream import dream as dream
from .see.dream.octaves import octaves as octaves
from .see.dream.zoom import zoom as zoom
from .see.models.open import open_model as open_model
from .see.patterns.api import pattern as pattern
from .see.patterns.api import patterns as patterns
from .show.atlas.build import atlas as atlas
from .show.figures.live_plot import Live as Live

__version__: str
