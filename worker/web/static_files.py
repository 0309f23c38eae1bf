"""Styles, scripts and pictures of the page, which browsers keep until a release changes them."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC = Path(__file__).parent / "static"
_KEPT = "public, max-age=31536000, immutable"
_ASKED_AGAIN = "no-cache"  # by its ETag: what is imported by a script has no version in its address


@cache
def address(name: str) -> str:
    """Return the address of a file with its version: the same for as long as its content is."""
    version = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:16]
    return f"/static/{name}?v={version}"


class KeptFiles(StaticFiles):
    """Serves the files of `STATIC`."""

    def __init__(self) -> None:
        super().__init__(directory=STATIC)

    def file_response(self, full_path: Any, stat_result: Any, scope: Scope, status_code: int = 200) -> Response:
        """Answer with a file, and say for how long it may be kept."""
        answer = super().file_response(full_path, stat_result, scope, status_code)
        answer.headers["Cache-Control"] = _KEPT if scope["query_string"].startswith(b"v=") else _ASKED_AGAIN
        return answer
