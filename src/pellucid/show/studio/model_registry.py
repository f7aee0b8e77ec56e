"""Model registry: the models that a window may open: those of the zoo, of the command line, and those trained here.

ModelRegistry: (session, name) -> Model. An unknown name is refused: it never becomes a path.
"""

import itertools
import threading
from collections.abc import Sequence

from pellucid.errors import unknown
from pellucid.see.models.base import Model
from pellucid.see.models.open import open_model, zoo
from pellucid.show.studio.sessions import Session


class ModelRegistry:
    """The zoo and the models given; files are opened at once, so that an error shows before anything is served."""

    def __init__(self, given: Sequence[str | Model] = ()) -> None:
        self._lock = threading.Lock()
        self._opened: dict[str, Model] = {}
        self._zoo = zoo()
        for source in given:
            if isinstance(source, Model) or source not in self._zoo:
                model = source if isinstance(source, Model) else open_model(source)
                self._opened[self._free(model.name)] = model

    def _free(self, name: str) -> str:
        """This name, numbered if another model has it."""
        numbered = (f"{name} {number}" for number in itertools.count(2))
        return next(free for free in itertools.chain([name], numbered) if free not in {*self._opened, *self._zoo})

    def names(self, session: Session | None = None) -> list[str]:
        """What there is to choose from, what was trained last first."""
        trained = [] if session is None else list(reversed(session.models))
        return [*trained, *[name for name in self._opened if name not in self._zoo], *self._zoo]

    def model(self, session: Session | None, name: str | None) -> Model:
        """The model of that name; raises PellucidError where there is none."""
        if session is not None and name in session.models:
            return session.models[name]
        with self._lock:
            if name in self._zoo and name not in self._opened:
                self._opened[name] = open_model(name)
        if name not in self._opened:
            raise unknown("model", str(name), self.names(session))
        return self._opened[name]
