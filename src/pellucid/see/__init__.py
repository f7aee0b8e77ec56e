"""See: any model -> what every unit of it responds to, and dreams on photographs; in PyTorch.

What researchers build with is importable from here (`from pellucid.see import Objective, Parametrization, ascend`),
each name from its own file when it is first asked for. The names and their files stand in `__init__.pyi`, which type
checkers read as well; docs/see.md has examples that run.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
