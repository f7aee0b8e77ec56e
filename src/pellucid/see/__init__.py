"""See: any model -> what every unit of it responds to, and dreams on photographs; in PyTorch.

What researchers build with is importable from here (`from pellucid.see import Objective, Parametrization, ascend`),
each name from its own file when it is first asked for; docs/see.md has examples that run.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pellucid.data.scaling import Scaling as Scaling
    from pellucid.see.models.base import LayerInfo as LayerInfo
    from pellucid.see.models.base import LayerOutput as LayerOutput
    from pellucid.see.models.base import Model as Model
    from pellucid.see.models.base import Reader as Reader
    from pellucid.see.models.open import open_model as open_model
    from pellucid.see.objectives.base import Objective as Objective
    from pellucid.see.objectives.base import Score as Score
    from pellucid.see.objectives.features import AtPosition as AtPosition
    from pellucid.see.objectives.features import Direction as Direction
    from pellucid.see.objectives.features import FeatureMatch as FeatureMatch
    from pellucid.see.objectives.features import MeanSquare as MeanSquare
    from pellucid.see.objectives.features import PreActivation as PreActivation
    from pellucid.see.objectives.features import likeness as likeness
    from pellucid.see.objectives.units import OtherUnits as OtherUnits
    from pellucid.see.objectives.units import Units as Units
    from pellucid.see.optimize.bases import Basis as Basis
    from pellucid.see.optimize.bases import Colors as Colors
    from pellucid.see.optimize.bases import Spectrum as Spectrum
    from pellucid.see.optimize.loop import AscentResult as AscentResult
    from pellucid.see.optimize.loop import ascend as ascend
    from pellucid.see.optimize.optimizers import Adam as Adam
    from pellucid.see.optimize.optimizers import Normalized as Normalized
    from pellucid.see.optimize.optimizers import Optimizer as Optimizer
    from pellucid.see.optimize.optimizers import PlainGradient as PlainGradient
    from pellucid.see.optimize.optimizers import Power as Power
    from pellucid.see.optimize.parametrizations import Box as Box
    from pellucid.see.optimize.parametrizations import InBasis as InBasis
    from pellucid.see.optimize.parametrizations import Parametrization as Parametrization
    from pellucid.see.optimize.parametrizations import Sphere as Sphere
    from pellucid.see.optimize.parametrizations import standardized as standardized
    from pellucid.see.optimize.penalties import Penalties as Penalties
    from pellucid.see.optimize.penalties import roughness as roughness
    from pellucid.see.optimize.penalties import total_variation as total_variation
    from pellucid.see.optimize.transforms import Transforms as Transforms
    from pellucid.see.optimize.transforms import uniform as uniform

# Every name and its file; a test holds it against the imports above, which checkers read.
_HOMES = {
    "Scaling": "pellucid.data.scaling",
    "LayerInfo": "pellucid.see.models.base",
    "LayerOutput": "pellucid.see.models.base",
    "Model": "pellucid.see.models.base",
    "Reader": "pellucid.see.models.base",
    "open_model": "pellucid.see.models.open",
    "Objective": "pellucid.see.objectives.base",
    "Score": "pellucid.see.objectives.base",
    "AtPosition": "pellucid.see.objectives.features",
    "Direction": "pellucid.see.objectives.features",
    "FeatureMatch": "pellucid.see.objectives.features",
    "MeanSquare": "pellucid.see.objectives.features",
    "PreActivation": "pellucid.see.objectives.features",
    "likeness": "pellucid.see.objectives.features",
    "OtherUnits": "pellucid.see.objectives.units",
    "Units": "pellucid.see.objectives.units",
    "Basis": "pellucid.see.optimize.bases",
    "Colors": "pellucid.see.optimize.bases",
    "Spectrum": "pellucid.see.optimize.bases",
    "AscentResult": "pellucid.see.optimize.loop",
    "ascend": "pellucid.see.optimize.loop",
    "Adam": "pellucid.see.optimize.optimizers",
    "Normalized": "pellucid.see.optimize.optimizers",
    "Optimizer": "pellucid.see.optimize.optimizers",
    "PlainGradient": "pellucid.see.optimize.optimizers",
    "Power": "pellucid.see.optimize.optimizers",
    "Box": "pellucid.see.optimize.parametrizations",
    "InBasis": "pellucid.see.optimize.parametrizations",
    "Parametrization": "pellucid.see.optimize.parametrizations",
    "Sphere": "pellucid.see.optimize.parametrizations",
    "standardized": "pellucid.see.optimize.parametrizations",
    "Penalties": "pellucid.see.optimize.penalties",
    "roughness": "pellucid.see.optimize.penalties",
    "total_variation": "pellucid.see.optimize.penalties",
    "Transforms": "pellucid.see.optimize.transforms",
    "uniform": "pellucid.see.optimize.transforms",
}

__all__ = [*_HOMES]  # noqa: PLE0604 (they are strings)


if not TYPE_CHECKING:  # a checker that saw this would believe in every name

    def __getattr__(name):  # noqa: ANN001, ANN202
        """The object of that name, imported from its file; AttributeError for a name that is not in the list."""
        if name not in _HOMES:
            raise AttributeError(f"module 'pellucid.see' has no attribute '{name}'")
        globals()[name] = value = getattr(importlib.import_module(_HOMES[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
