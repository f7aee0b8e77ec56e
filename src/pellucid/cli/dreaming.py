"""The command dream."""

from pathlib import Path
from typing import Annotated, Any

from pellucid.cli.app import print_written
from pellucid.cli.arguments import command_of, given_options, model_of
from pellucid.cli.parameters import GROUPS, Flat
from pellucid.errors import PellucidError
from pellucid.settings import DreamSettings, EngineSettings, FilmSettings, ModelSettings, dream_presets


def _tile_numbers(words: tuple[str, ...]) -> list[Any] | None:
    """Numbers of tiles for each level, None for all of it."""
    levels = " ".join(words).replace(",", " ").split(":")
    try:
        return [[int(number) for number in level.split()] or None for level in levels] if words else None
    except ValueError:
        raise PellucidError(f"The tiles '{' '.join(words)}' are no numbers; give some such as :3 or 0:1,2.") from None


def dream(
    photo: str | None = None,
    /,
    *,
    model: str | None = None,
    layer: tuple[str, ...] = (),
    unit: tuple[str, ...] = (),
    out: Path | None = None,
    film: Annotated[Path | None, GROUPS["Film"]] = None,
    zoom: Annotated[int, GROUPS["Film"]] = 0,
    panel: Annotated[Path | None, GROUPS["Pictures and report"]] = None,
    stages: Annotated[Path | None, GROUPS["Tiles"]] = None,
    mask: Path | None = None,
    area: tuple[int, int, int, int] | None = None,
    tiles: Annotated[tuple[str, ...], GROUPS["Tiles"]] = (),
    guide: Path | None = None,
    how: Flat[ModelSettings] = ModelSettings(),
    settings: Flat[DreamSettings] = DreamSettings(),
    moving: Flat[FilmSettings] = FilmSettings(),
    execution: Flat[EngineSettings] = EngineSettings(),
) -> None:
    """Dream on a photograph, or on many: paint into it what a network sees in it.

    Nothing but the photograph has to be given; `--preset list` prints what there is to dream. Of many photographs,
    dreams that lie in the folder already, by the same settings, are kept. An engine other than local is for many
    photographs only.

    Args:
        photo: photograph to dream on; for many a folder, or a glob in quotes; or a clip, each frame of which is dreamt
            on: .mp4, .mov, .webm, .mkv, .avi, an animated .gif, .webp or .png (default: none, for a list of presets)
        model: model that dreams: a name of `pellucid models`, a file, or package.module:factory (default: the preset's)
        layer: layers to make stronger, each a name, LAYER:UNIT, or LAYER=WEIGHT (default: the preset's)
        unit: units to make stronger, each a number from 0, the name of a class, auto for what the photo has already, -1
            for the whole layer, or UNIT=WEIGHT; by tiles one for each level, 1,2,3,4 for one for each of its tiles
            (default: the preset's)
        out: file for the dream: .png, .jpg or .webp; for many photos a folder, or a name such as
            dreams/{photo}-deep.jpg; for a clip .mp4, .gif or .webp (default: dream.png, dreams, or dream.mp4)
        film: film of the rounds: .gif, .webp or .mp4 (default: none)
        zoom: number of dreams, each nearer than the last, that the film shows; 0 for the rounds
        panel: figure of photo, gray photo, dream and contrast side by side (default: none)
        stages: figure of the small pieces that the model saw on the way, by the method tiles (default: none)
        mask: picture that masks the dream: white where to dream, black where not (default: everywhere)
        area: rectangle to dream in: left top right bottom, in pixels (default: everywhere)
        tiles: tiles of each level to dream in, counted from 0 row by row, levels divided by colons: :2,3 is the whole
            picture and its lower quarters (default: all of them)
        guide: picture whose contents the dream approaches, instead of units, by octaves (default: none)
    """
    apart = {"photo", "how", "settings", "moving", "execution"}
    others = {name: value for name, value in locals().items() if value and name not in apart | {"apart"}}
    from pellucid.data.clips import is_clip

    if settings.preset == "list":
        _print_presets()
        return
    if photo is None:
        raise PellucidError("There is no photograph; give one, such as `pellucid dream photo.jpg`.")
    command = command_of(["pellucid", "dream", photo], how, settings, moving, **others)
    from pellucid.see.dream.presets import model_name
    from pellucid.show import dream_export
    from pellucid.spread.engines import engine_of

    where = {"mask": mask, "area": area, "tiles": _tile_numbers(tiles), "guide": guide}
    groups = [tuple(one.split(",")) if "," in one else one for one in unit]
    what = {"layer": layer or None, "unit": (groups[0] if len(groups) == 1 else groups) or None}
    asked = {**what, **where, **given_options(settings), **given_options(moving)}
    own = settings.preset if settings.preset != "all" else "classic"
    opened = model_of(model or model_name(own), how) if model or given_options(how) else None
    if stages is not None:
        asked = {"method": "tiles", **asked}
    if is_clip(photo):
        if film or panel or zoom or given_options(execution) or given_options(moving):
            raise PellucidError(
                "A clip becomes one film, named by --out; leave out --film, --zoom, --panel and options of these."
            )
        print_written(dream_export.save_clip(photo, opened, out=out, **asked))
        return
    with engine_of(**given_options(execution)) as engine:
        asked = {**asked, "engine": engine}
        written = dream_export.save_dreams(
            photo, opened, out=out, film=film, zoom=zoom, panel_path=panel, stages_path=stages, note=command, **asked
        )
        for path in written:
            print_written(path)


def _print_presets() -> None:
    from pellucid.data.html import table

    presets = {name: preset["says"] for name, preset in dream_presets().items()}
    presets["class:NAME"] = "a class of the color network, such as class:peacock"
    print(table(["preset", "what one sees"], list(presets.items())))
