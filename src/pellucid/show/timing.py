"""Clock: stages of long work, told as they begin and as they end, and their seconds kept."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

Progress = Callable[[str, float | None], None]
"""What a caller may give: called with a stage's name and None as it begins, and with its seconds as it ends."""


def on_stderr(stage: str, seconds: float | None) -> None:
    """Progress for a person: the stage as it begins, its seconds as it ends."""
    if seconds is None:
        print(f"{stage} ...", file=sys.stderr, flush=True)
    else:
        print(f"{stage}: {seconds:.1f} s", file=sys.stderr, flush=True)


@dataclass
class Clock:
    """Stages and their seconds, in the order in which they ran."""

    progress: Progress = on_stderr
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """The block is this stage; a stage that fails is not kept."""
        self.progress(stage, None)
        begin = perf_counter()
        yield
        self.seconds[stage] = perf_counter() - begin
        self.progress(stage, self.seconds[stage])
