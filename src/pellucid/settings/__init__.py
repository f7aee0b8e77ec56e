"""Settings: every setting once, with its default, its range and one line of help; groups of them by rooms."""

from pellucid.settings.fields import Settings as Settings
from pellucid.settings.fields import field as field
from pellucid.settings.fields import sentence as sentence
from pellucid.settings.learning import AUGMENTATION as AUGMENTATION
from pellucid.settings.learning import VIEWS as VIEWS
from pellucid.settings.learning import CallbackSettings as CallbackSettings
from pellucid.settings.learning import ClusterSettings as ClusterSettings
from pellucid.settings.learning import DataSettings as DataSettings
from pellucid.settings.learning import FeatureSettings as FeatureSettings
from pellucid.settings.learning import KMeansSettings as KMeansSettings
from pellucid.settings.learning import NetworkSettings as NetworkSettings
from pellucid.settings.learning import OptimizationSettings as OptimizationSettings
from pellucid.settings.learning import ScanSettings as ScanSettings
from pellucid.settings.learning import SeedSettings as SeedSettings
from pellucid.settings.learning import SplitSettings as SplitSettings
from pellucid.settings.learning import TrainSettings as TrainSettings
from pellucid.settings.seeing import Cells as Cells
from pellucid.settings.seeing import DreamSettings as DreamSettings
from pellucid.settings.seeing import JudgeSettings as JudgeSettings
from pellucid.settings.seeing import ModelSettings as ModelSettings
from pellucid.settings.seeing import PatternSettings as PatternSettings
from pellucid.settings.showing import UNUSED as UNUSED
from pellucid.settings.showing import AtlasDataSettings as AtlasDataSettings
from pellucid.settings.showing import AtlasSettings as AtlasSettings
from pellucid.settings.showing import EngineSettings as EngineSettings
from pellucid.settings.showing import StudioSettings as StudioSettings
