"""`make docs`, last part: every link, picture and script of the built site -> those that lead nowhere.

page -> targets inside the site, whose file and anchor have to be there; links to elsewhere, which are only listed
A script, a style, a picture or a font from elsewhere leads nowhere, too: the site works without a network.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LISTED = "a", "link"  # what may lead elsewhere: a reader follows it, or does not


class Page(HTMLParser):
    """The anchors of a page, and (tag, target) of what it links to or loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.targets: list[tuple[str, str]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag names, and what it wants."""
        given = dict(attrs)
        self.anchors |= {name for name in (given.get("id"), given.get("name") if tag == "a" else None) if name}
        self.targets += [(tag, given[kind] or "") for kind in ("href", "src") if kind in given]


def dead_links(site: Path) -> tuple[list[str], set[str]]:
    """Links that lead nowhere, each with its page; and the addresses outside the site."""
    pages = {path.resolve(): Page(path) for path in sorted(site.rglob("*.html"))}
    dead, outside = [], set()
    for path, page in pages.items():
        for tag, target in page.targets:
            parts = urlsplit(target)
            if parts.scheme == "data":
                continue
            if parts.scheme or parts.netloc:
                if tag in LISTED and not (tag == "link" and target.endswith(".css")):
                    outside.add(target)
                else:
                    dead.append(f"{path.relative_to(site.resolve())}: {target} is not in the site")
                continue
            place = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not place.is_file() or (anchor and place in pages and anchor not in pages[place].anchors):
                dead.append(f"{path.relative_to(site.resolve())}: {target}")
    return dead, outside


if __name__ == "__main__":
    dead, outside = dead_links(Path(sys.argv[1]))
    print(f"{len(outside)} addresses outside of the site, none of which is asked:", *sorted(outside), sep="\n  ")
    sys.exit("\n".join(["Links that lead nowhere:", *dead]) if dead else None)
