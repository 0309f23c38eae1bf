"""A report as one HTML file that needs nothing else, and prints.

Written by hand and not with a template engine, which hosts that neither train nor serve the page do not have. Whoever
makes a body escapes what it says.
"""

from datetime import UTC, datetime
from html import escape
from pathlib import Path

STYLE = Path(__file__).parent / "report.css"
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{head}
<title>{title}</title>
{style}
</head>
<body>
{before}<main>
{body}
</main>
</body>
</html>
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # no script
_ALONE = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'


def document(title: str, body: str) -> str:
    """Return a page that carries its style.

    Args:
        title: plain text.
        body: HTML of the page's parts.
    """
    style = f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>"
    return _PAGE.format(title=escape(title), head=_ALONE, style=style, before="", body=body)


def served(title: str, body: str, *, style: str, before: str) -> str:
    """Return a page as the worklist's server shows it, which forbids a style within the page.

    Args:
        title: plain text.
        body: HTML of the page's parts.
        style: address of the style.
        before: HTML of what stands above the report and is not printed.
    """
    link = f'<link rel="stylesheet" href="{escape(style)}">'
    return _PAGE.format(title=escape(title), head='<link rel="icon" href="/static/icon.svg">', style=link,
                        before=before + "\n", body=body)  # fmt: skip


def counted(number: int, one: str, many: str | None = None) -> str:
    """Say how many, in the right number: `1 study`, `1,204 studies`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def minute(time: datetime) -> str:
    """Say a time to the minute, UTC."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"
