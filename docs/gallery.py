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
    "garden": ("flower.jpg", "--strength 0.5", "Nothing but the photograph is given: anemones open around the flower."),
    "golden": (
        "china.jpg",
        "--layer blocks.14 --strength 0.5",
        "All units of a deeper layer: the pavilion is gilded, the bushes are a park.",
    ),
    "serpents": ("china.jpg", "--preset scales --strength 0.45", "One unit, which answers to scaled skin."),
    "plumes": ("flower.jpg", "--preset feathers --strength 0.5", "Another, and the ground is painted in plumes."),
    "curls": ("china.jpg", "--preset fur --strength 0.45", "Two units, which answer to hair."),
    "panes": ("flower.jpg", "--preset glass --strength 0.45", "A unit of folds and edges."),
    "coral": ("flower.jpg", "--preset class:coral_reef --strength 0.45", "A class: what is a coral reef to it."),
    "woodcut": (
        "china.jpg",
        "--preset engraving",
        "`mnist-robust`, which has seen nothing but handwritten digits, cuts the clouds in strokes of a pen.",
    ),
    "strokes": ("flower.jpg", "--preset brush", "The same network, from larger strokes to small ones."),
}
SIZE = "--size 640"
HEAD = """<!-- Written by `make pictures`; change docs/gallery.py, not this page. -->

# Gallery

Dreams on two photographs that come with scikit-learn, `flower.jpg` and `china.jpg`. Each picture was made by the
command below it; [Dreaming](dream.md) says how, and what else there is to ask for.
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
