"""Whether HTML is whole."""

from html.parser import HTMLParser

VOID = {"br", "circle", "input", "line", "link", "meta", "rect"}


class Balance(HTMLParser):
    """Sees that every element is closed, in order: then `open` and `wrong` are empty."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - as the base class has it
        """Open an element."""
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close one."""
        if tag not in VOID and (not self.open or self.open.pop() != tag):
            self.wrong.append(tag)
