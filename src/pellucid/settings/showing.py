"""Settings of showing: what an atlas shows, how the studio is served, where long work runs."""

from __future__ import annotations

from typing import Literal

from pellucid.settings.fields import Settings, field
from pellucid.settings.seeing import PatternSettings

UNUSED = ("report", "report_ema", "compare", "palette", "near_layer", "near_weight")
"""Settings of patterns that an atlas has no use for."""


class AtlasSettings(PatternSettings):
    """What an atlas shows of every unit, and how its patterns are found."""

    name: str | None = field(None, unset="the model's name")
    """title of the atlas"""
    layers: tuple[str, ...] = field((), unset="every layer with weights, after its ReLU")
    """layers to show"""
    variants: int = field(3, ge=1, le=16)
    """patterns of each unit, of this seed and those after it; the strongest is shown first"""
    snapshots: int = field(8, heading="Pictures and report", was="shots", ge=1, le=16)
    """images of a pattern's film strip, at steps that double"""
    examples: int = field(16, heading="Common options", ge=1, le=64)
    """strongest images of the data that are shown for each unit"""
    least: bool = field(False)
    """one picture more of each unit: what excites it least, beside the most"""
    judge: bool = field(False)
    """how much to believe the patterns of each unit, by what `pellucid judge` does; it needs what excites least, which
    is shown, too, and other networks over hundreds of images for every chunk of units"""
    ablate: bool = field(False)
    """whether each unit matters: the change of accuracy on up to 1,000 labelled test images while it is held at zero"""
    chunk: int = field(128, heading="Seldom needed", ge=1, le=4096)
    """units optimized together, as one task of a cluster; fewer need less memory"""
    links: int = field(8, ge=1, le=64)
    """connected units listed for each unit, on either side, by the size of the weight"""
    resume: bool = field(True, heading="Common options")
    """reuse of the folder's finished layers, if model, data and settings are the same"""


class StudioSettings(Settings):
    """How the studio is served, and what it lets a person do."""

    port: int = field(7860, ge=0, le=65_535)
    """port at which the studio is served; 0 for any free port"""
    host: str = field("127.0.0.1")
    """address of this machine that the studio listens at; 0.0.0.0 for all, asking other machines for a token"""
    open: bool = field(True)
    """opening of the studio in the browser"""
    upload: int = field(20, heading="Limits", ge=1, le=1000)
    """largest file for upload, in megabytes"""
    pixels: int = field(40, ge=1, le=89)
    """largest picture for upload, in millions of pixels"""
    frames: int = field(12, ge=1, le=60)
    """most pictures per second of a running optimization"""
    seconds: float = field(1.5, ge=0, le=60)
    """shortest duration of an optimization that is watched, in seconds"""
    jobs: int = field(3, ge=1, le=64)
    """long computations at the same time; further ones wait"""
    sessions: int = field(64, ge=1, le=1000)
    """browser windows whose work is kept; beyond, the least recently used is dropped"""


class EngineSettings(Settings):
    """Where work runs: in this process, or on the workers of a Ray cluster; the results are the same."""

    engine: Literal["local", "ray"] = field("local", heading="Many machines")
    """where the work runs: in this process, or on workers of Ray"""
    address: str | None = field(None, unset="workers are started on this machine")
    """running Ray cluster: auto, or the host:port of its head"""
    workers: int = field(0, ge=0)
    """most Ray workers at the same time; 0 for as many as processors or GPUs"""
    threads: int = field(1, ge=1, le=1024)
    """processor threads of each Ray worker"""
    gpus: float = field(1, ge=0, le=64)
    """GPUs of each Ray worker, shares allowed, on a cluster that has GPUs; 0 for none"""
    retries: int = field(10, ge=0, le=1000)
    """runs of a task after its first, if its Ray worker dies"""
