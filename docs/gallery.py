"""`make pictures`, second half: the gallery, each picture by the command that its page shows.

docs/pictures/<name>.webp, and docs/gallery.md with the commands. Photographs: those that come with scikit-learn.
"""

import shlex
import sys
from pathlib import Path

from pellucid import cli
from pellucid.files import bundled_file, output_folder

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "pictures"
# name: photo, options of `pellucid dream`, what is to be seen
PICTURES = {
    "waves": (
        "flower.jpg",
        "--layer conv3 --unit 121 --levels 4 --rounds 2 --steps 20 --strength 0.25",
        "One map, from the whole picture down to 64 tiles: waves around the flower, and the petals keep their shape.",
    ),
    "currents": (
        "flower.jpg",
        "--layer conv3 --unit auto --levels 4 --rounds 2 --steps 20 --strength 0.25",
        "Every tile has the map that it excites most already: strokes of a pen follow what is there.",
    ),
    "stripes": (
        "flower.jpg",
        "--layer conv2 --unit 49 --levels 3 --rounds 2 --steps 20",
        "A map of an earlier layer, which likes slanted strokes.",
    ),
    "sky": (
        "china.jpg",
        "--layer conv3 --unit 121 121 auto auto --levels 4 --rounds 2 --steps 15 --learning-rate 0.015",
        "One map for the large strokes, each tile's own for the small ones.",
    ),
    "rain": (
        "china.jpg",
        "--layer conv3 --unit 85 --levels 4 --rounds 2 --steps 15 --learning-rate 0.015 --strength 0.25",
        "A map that answers to long slanted strokes: rain.",
    ),
}
SIZE = "--size 480"
HEAD = """<!-- Written by `make pictures`; change docs/gallery.py, not this page. -->

# Gallery

Dreams of `mnist-robust`, a network that has seen nothing but handwritten digits, on two photographs that come with
scikit-learn (in the folder `datasets/images` of its installation). Each picture was made by the command below it.
"""


def page() -> str:
    """docs/gallery.md."""
    parts = [HEAD]
    for name, (photo, options, words) in PICTURES.items():
        command = f"pellucid dream {photo} {options} {SIZE} --out {name}.webp"
        parts.append(f"![{words}](pictures/{name}.webp)\n\n{words}\n\n    {command}\n")
    return "\n".join(parts)


def main(names: list[str]) -> list[Path]:
    """Make the pictures that are named (all, if none is), each by its command, and the page, whose path is given."""
    output_folder(FOLDER)
    for name, (photo, options, _) in PICTURES.items():
        if names and name not in names:
            continue
        path = FOLDER / f"{name}.webp"
        source = str(bundled_file("sklearn", f"datasets/images/{photo}"))
        if cli.main(["dream", source, *shlex.split(f"{options} {SIZE}"), "--out", str(path)]):
            sys.exit(2)
    (HERE / "gallery.md").write_text(page(), encoding="utf-8")
    return [HERE / "gallery.md"]


if __name__ == "__main__":
    for written in main(sys.argv[1:]):
        print(f"Wrote {written}")
