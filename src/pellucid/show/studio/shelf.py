"""Shelf: the models that a person may open: those of the zoo, those named on the command line, those trained here.

Shelf: (session, name) -> Model. A name that is none of these is refused: it never becomes a path.
"""

import os
import threading
from collections.abc import Sequence

from pellucid.errors import unknown
from pellucid.see.models import Model, open_model, zoo
from pellucid.show.studio.sessions import Session


class Shelf:
    """The zoo, and the files given, which are opened at once, so that a wrong one is told before anything is served."""

    def __init__(self, files: Sequence[str] = ()) -> None:
        self._lock = threading.Lock()
        self._opened: dict[str, Model] = {}
        self._zoo = zoo()
        for file in files:
            if file not in self._zoo:
                model = open_model(file)
                taken = model.name in self._opened or model.name in self._zoo
                self._opened[os.fspath(file) if taken else model.name] = model

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
