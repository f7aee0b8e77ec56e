"""Pellucid: train an image network from scratch, see what every unit answers to, let it dream on a photograph.

front door: name -> the object, imported from its room when it is first asked for

The names and their rooms stand in `__init__.pyi`, which type checkers read as well. `import pellucid` itself loads
neither PyTorch nor Numba, so that scripts and `pellucid --help` start at once.
"""

import os
import sys

import lazy_loader

# PyTorch's threads look for work at full speed when they have none. On processors that others use, too, each waits so
# for one that is not let run, and a step takes forty times as long. OpenMP reads this when PyTorch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_from_room, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
_OLD_NAMES = {"zoomed": "zoom"}  # of the last release


def __getattr__(name: str) -> object:
    """The object of that name, imported from its room; AttributeError for a name that the front door lacks.

    From then on, in its room, too, it refuses in a sentence what does not fit its signature.
    """
    if name == "__version__":
        from importlib.metadata import version

        return version("pellucid")
    from pellucid.progress import saying
    from pellucid.signatures import checked

    with saying("Opening the libraries", "torch" not in sys.modules):
        found = globals()[name] = checked(_from_room(_OLD_NAMES.get(name, name)))
    setattr(sys.modules[found.__module__], found.__name__, found)
    return found
