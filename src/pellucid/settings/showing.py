"""Settings of showing: what an atlas shows, how the studio is served, where long work runs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pellucid.settings.fields import Settings, field
from pellucid.settings.learning import IMAGES


class AtlasSettings(Settings):
    """What an atlas shows of every unit."""

    layers: tuple[str, ...] = field((), "layers to show", unset="every layer with weights, after its ReLU")
    variants: int = field(
        3, "patterns of each unit, from different initial images; the strongest is shown first", ge=1, le=16
    )
    steps: int = field(30, "optimization steps of a pattern", ge=1, le=100_000)
    snapshots: int = field(8, "images of a pattern's film strip, at steps that double", was="shots", ge=1, le=16)
    examples: int = field(16, "strongest images of the data that are shown for each unit", ge=1, le=64)
    links: int = field(
        8, "connected units listed for each unit, on either side, by the size of the weight", ge=1, le=64
    )
    seed: int = field(0, "seed of each unit's first pattern; the others take the seeds after it", ge=0)
    chunk: int = field(128, "units optimized together, as one task of a cluster; fewer need less memory", ge=1, le=4096)
    resume: bool = field(True, "reuse of the folder's finished layers, if model, data and settings are the same")


class AtlasDataSettings(Settings):
    """Which images go with a model, if any."""

    data: str | None = field(None, IMAGES, unset="none, and what needs images is left out")
    data_dir: Path | None = field(
        None, "folder of MNIST's files", unset="$PELLUCID_DATA, else the user's cache, with a download"
    )


class StudioSettings(Settings):
    """How the studio is served, and what it lets a person do."""

    port: int = field(7860, "port of 127.0.0.1 at which the studio is served; 0 for any free port", ge=0, le=65_535)
    open: bool = field(True, "opening of the studio in the browser")
    upload: int = field(20, "largest file for upload, in megabytes", ge=1, le=1000)
    pixels: int = field(40, "largest picture for upload, in millions of pixels", ge=1, le=89)
    frames: int = field(12, "most pictures per second of a running optimization", ge=1, le=60)
    seconds: float = field(1.5, "shortest duration of an optimization that is watched, in seconds", ge=0, le=60)
    jobs: int = field(3, "long computations at the same time; further ones wait", ge=1, le=64)
    sessions: int = field(
        64, "browser windows whose work is kept; beyond, the least recently used is dropped", ge=1, le=1000
    )


class EngineSettings(Settings):
    """Where work runs: in this process, or on the workers of a Ray cluster; the results are the same."""

    engine: Literal["local", "ray"] = field("local", "where the work runs: in this process, or on workers of Ray")
    address: str | None = field(
        None, "running Ray cluster: auto, or the host:port of its head", unset="workers are started on this machine"
    )
    workers: int = field(0, "most Ray workers at the same time; 0 for as many as processors or GPUs", ge=0)
    threads: int = field(1, "processor threads of each Ray worker", ge=1, le=1024)
    gpus: float = field(
        1, "GPUs of each Ray worker, shares allowed, on a cluster that has GPUs; 0 for none", ge=0, le=64
    )
    retries: int = field(10, "runs of a task after its first, if its Ray worker dies", ge=0, le=1000)
