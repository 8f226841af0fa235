"""Faults of a built site that its files alone show: links, pictures, addresses elsewhere."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a page loads by itself, and from where.
_LOADED = {"img": "src", "script": "src", "iframe": "src", "source": "src"}
_LOADED_LINKS = ("stylesheet", "icon", "preload", "manifest")
_CSS_ADDRESS = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")


class _Page(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.links, self.loaded, self.ids, self.bare, self.headings = [], [], set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        said = dict(attrs)
        if "id" in said:
            self.ids.add(said["id"])
        if tag == "a" and said.get("href"):
            self.links.append(said["href"])
        if tag in _LOADED and said.get(_LOADED[tag]):
            self.loaded.append(said[_LOADED[tag]])
        if tag == "link" and set(said.get("rel", "").split()) & set(_LOADED_LINKS):
            self.loaded.append(said["href"])
        if tag == "img" and not (said.get("alt") or "").strip():
            self.bare.append(said.get("src", "")[:60])
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append(int(tag[1]))


def file_faults(site: Path) -> list[str]:
    """One line per fault: a link or file that is not there, a picture without alt text, a thing
    loaded from elsewhere, a heading level left out. An address is followed as from any folder of
    any server, so one that begins with / is a fault as well."""
    site = site.resolve()
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    wrong = []
    for path, page in pages.items():
        name = path.relative_to(site).as_posix()
        wrong += [f"{name}: the picture {source} has no alt text" for source in page.bare]
        for address in page.loaded:
            if _elsewhere(address):
                wrong.append(f"{name}: loads {address} from elsewhere")
        for address in {*page.links, *page.loaded}:
            wrong += [f"{name}: {fault}" for fault in _dead(address, path, site, pages)]
        for above, below in zip(page.headings, page.headings[1:], strict=False):
            if below > above + 1:
                wrong.append(f"{name}: a heading of level {below} follows one of level {above}")
        if page.headings.count(1) != 1 and name != "search.html":  # there a script writes it
            wrong.append(f"{name}: {page.headings.count(1)} headings of level 1, expected 1")
    for sheet in site.rglob("*.css"):
        for found in _CSS_ADDRESS.finditer(sheet.read_text(encoding="utf-8")):
            if _elsewhere(found[1] or found[2]):
                wrong.append(f"{sheet.relative_to(site)}: loads {found[1] or found[2]}")
    return wrong


def _elsewhere(address: str) -> bool:
    return bool(urlsplit(address).netloc)


def _dead(address: str, page: Path, site: Path, pages: dict) -> list[str]:
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return []
    if parts.path.startswith("/"):
        return [f"{address} works at the top of a server only"]
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if target.is_dir():
        target /= "index.html"
    if not target.is_relative_to(site) or not target.exists():
        return [f"{address} leads nowhere"]
    # A state, such as #loop=3, is no place.
    place = parts.fragment if "=" not in parts.fragment else ""
    if place and target in pages and unquote(place) not in pages[target].ids:
        return [f"{address}: there is no such place on that page"]
    return []
