"""Metadata: what the file of a picture holds beside its pixels, read in whatever state it is, and written again.

Metadata.of:      Pillow's picture -> its EXIF and ICC profile, as far as they hold of the upright pixels at any size
Metadata.options: format, number of channels -> keywords of Pillow's `save`
only_pixels:      content of a PNG or JPEG -> the same picture without what a reader may stumble over
"""

import re
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.PngImagePlugin import PngInfo

from pellucid.errors import DAMAGE

KEPT = (Base.ImageDescription, Base.Make, Base.Model, Base.DateTime, Base.Artist, Base.Copyright)
OF_FILE = (Base.ExifImageWidth, Base.ExifImageHeight, 0x9214, Base.SubjectLocation, Base.FocalPlaneXResolution,
           Base.FocalPlaneYResolution, Base.CompressedBitsPerPixel, Base.ImageUniqueID, *IFD)  # fmt: skip
MOST_EXIF, MOST_NOTE = 2**14, 6000  # bytes, letters: together less than the 65,533 bytes that a JPEG can hold
MOST_PROFILE = 2**20  # bytes; Pillow reads no more of a PNG
PNG_KEPT = {b"tRNS": 1, b"eXIf": 8, b"acTL": 8, b"fcTL": 26, b"fdAT": 4}  # beside critical chunks: least bytes
JPEG_KEPT = re.compile(rb"\A\xff(?:\xe1..Exif|\xee..Adobe.{7}|[^\0\xe0-\xef\xfe\xff]).*", re.DOTALL)


@dataclass(frozen=True)
class Metadata:
    """exif: tags and values, as of Pillow.  icc: a color profile.  note: how the picture was made.  identity: 32
    hexadecimal digits that pictures share if they follow from the same, as ImageUniqueID. Each may be empty.

    Of EXIF stay camera, exposure, times, place and names; not the thumbnail, sizes and places in pixels, resolution,
    and the maker's own note, whose offsets would be wrong. A note goes into UserComment, beside the version of Pellucid
    in Software, into ImageDescription where the photo has none, and into a text of a PNG.
    """

    exif: Mapping[int, Any] = field(default_factory=dict)
    icc: bytes = b""
    note: str = ""
    identity: str = ""

    @classmethod
    def of(cls, picture: Image.Image) -> "Metadata":
        """What a picture brought; nothing of what is damaged, or larger than pictures have."""
        exif, kept, identity, icc = Image.Exif(), {}, "", picture.info.get("icc_profile")
        with suppress(*DAMAGE):
            given = picture.getexif()  # whose letters Pillow takes for Latin 1, while it writes ASCII alone
            exif.update({tag: given[tag].encode("latin-1") for tag in KEPT if isinstance(given.get(tag), str)})
            for part in {IFD.Exif, IFD.GPSInfo} & given.keys():
                exif[part] = {tag: value for tag, value in given.get_ifd(part).items() if tag not in OF_FILE}
            identity = str(given.get_ifd(IFD.Exif).get(Base.ImageUniqueID, ""))
            kept = dict(exif) if len(exif.tobytes()) <= MOST_EXIF else {}
        return cls(kept, icc if isinstance(icc, bytes) and len(icc) <= MOST_PROFILE else b"", identity=identity)

    def options(self, kind: str, channels: int) -> dict[str, Any]:
        """Keywords to save 1 or 3 channels as PNG, JPEG or WEBP; a profile stays if it describes pixels like these."""
        space = b"GRAY" if channels == 1 and kind != "WEBP" else b"RGB "  # WebP knows no gray
        fits = self.icc[16:20] == space and self.icc[36:40] == b"acsp"
        options: dict[str, Any] = {"icc_profile": self.icc} if fits else {}
        tags, note = Image.Exif(), self.note.encode("utf-8", "replace").decode()
        tags.update(self.exif)
        if note:
            short = note[:MOST_NOTE]
            told = {Base.UserComment: b"UNICODE\0" + short.encode("utf-16-be"), Base.ImageUniqueID: self.identity}
            tags[IFD.Exif] = {**tags.get(IFD.Exif, {}), **told}
            tags[Base.Software] = f"pellucid {version('pellucid')}"
            if tags.get(Base.ImageDescription, b"pellucid ").startswith(b"pellucid "):  # not the photographer's
                tags[Base.ImageDescription] = short.encode()
            if kind == "PNG":
                options["pnginfo"] = PngInfo()
                options["pnginfo"].add_text("Description", note)
        if tags:
            tags[Base.Orientation] = 1
            options["exif"] = tags.tobytes()
        return options


def only_pixels(content: bytes) -> bytes:
    """A PNG or JPEG with nothing but its pixels, their frames and its EXIF; another file as it is."""
    parts = []
    if content.startswith(b"\x89PNG"):
        at = 8
        while at < len(content):
            kind, end = content[at + 4 : at + 8], at + 12 + int.from_bytes(content[at : at + 4], "big")
            if not kind[:1].islower():
                parts.append(content[at:end])
            elif end - at - 12 >= PNG_KEPT.get(kind, end):  # a wrong sum is put right
                parts.append(content[at : end - 4] + zlib.crc32(content[at + 4 : end - 4]).to_bytes(4, "big"))
            at = end
        return content[:8] + b"".join(parts)
    at = content.find(b"\xff", 2) if content.startswith(b"\xff\xd8") else -1
    while at > 0 and content[at + 1 : at + 2] not in (b"\xda", b""):  # up to the pixels
        end = at + 1 if content[at + 1] in (0, 0xFF) else at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        parts += JPEG_KEPT.findall(content[at:end])[:1]
        at = content.find(b"\xff", end)
    return content[:2] + b"".join(parts) + content[at:] if at > 0 else content
