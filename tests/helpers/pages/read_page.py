"""A page as a browser's parser sees it: elements with attributes and texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = ("meta", "img", "br", "link", "base", "input", "hr", "source", "embed", "track", "area", "col", "wbr")


@dataclass
class Element:
    """An element, with all texts inside it in their order."""

    tag: str
    attributes: dict[str, str | None]
    text: str = ""
    inside: list[Element] = field(default_factory=list)

    def all(self, tag: str) -> list[Element]:
        """The elements of a name below this one, in their order."""
        return [found for child in self.inside for found in ([child] if child.tag == tag else []) + child.all(tag)]


class Page(HTMLParser):
    """A page that was read; elements that are closed wrongly are refused."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root = Element("", {})
        self._open = [self.root]
        self.feed(text)
        self.close()
        assert self._open == [self.root], f"left open: {[element.tag for element in self._open[1:]]}"

    def handle_starttag(self, tag, attrs):
        element = Element(tag, dict(attrs))
        self._open[-1].inside.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attrs):
        self._open[-1].inside.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open[-1].tag == tag, f"{tag} closes {self._open[-1].tag}"
        self._open.pop()

    def handle_data(self, data):
        for element in self._open:
            element.text += data

    def all(self, tag: str) -> list[Element]:
        """All elements of a name, in their order."""
        return self.root.all(tag)
