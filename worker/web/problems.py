"""What goes wrong, told to people as a page and to programs as JSON, and to the log without a patient's data."""

from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException
from starlette.status import (
    HTTP_400_BAD_REQUEST,
    HTTP_401_UNAUTHORIZED,
    HTTP_403_FORBIDDEN,
    HTTP_404_NOT_FOUND,
    HTTP_413_CONTENT_TOO_LARGE,
    HTTP_422_UNPROCESSABLE_CONTENT,
    HTTP_500_INTERNAL_SERVER_ERROR,
    HTTP_503_SERVICE_UNAVAILABLE,
)

from worker.db import AWAY
from worker.faults import describe
from worker.web.headers import safe_headers
from worker.web.pages import page

AGAIN_SECONDS = 5
_OURS = (
    "The page has a fault, which is in its log now. Nothing was lost: what the service does goes on without the page."
)
_AWAY = "The database does not answer. Screening waits for it, too; nothing that was received is lost."
_NOT_HERE = "There is no such page."

_log = structlog.get_logger()


class Problem(BaseModel):
    """What went wrong, and what to do."""

    detail: str


def _answer(description: str) -> dict[str, Any]:
    return {"model": Problem, "description": description}


EVERYWHERE: dict[int | str, dict[str, Any]] = {
    HTTP_400_BAD_REQUEST: {
        "description": "The request cannot be read, or is for another host.",
        "content": {"application/json": {"schema": Problem.model_json_schema()}, "text/plain": {}},
    },
    HTTP_401_UNAUTHORIZED: _answer("Nobody is signed in."),
    HTTP_403_FORBIDDEN: _answer("Not for this role, a form of another session, or the password must be changed first."),
    HTTP_413_CONTENT_TOO_LARGE: {"description": "The request is too large.", "content": {"text/plain": {}}},
    HTTP_503_SERVICE_UNAVAILABLE: _answer("The database is away, or this is made for somebody else: see Retry-After."),
}


def tell_problems(app: FastAPI, *, https: bool) -> None:
    """Let an application answer every fault in words.

    Args:
        app: the page and its API.
        https: see `safe_headers`.
    """

    def tell_ours(request: Request, error: Exception) -> Response:
        fault, route = describe(error), request.scope.get("route")
        _log.error("page-fault", path=getattr(route, "path", None), error=fault.error, traceback=fault.traceback)
        return _tell(request, HTTP_500_INTERNAL_SERVER_ERROR, _OURS, headers=safe_headers(https=https))

    app.add_exception_handler(HTTPException, _tell_refusal)  # type: ignore[arg-type]  # it gets nothing else
    app.add_exception_handler(RequestValidationError, _tell_misunderstanding)  # type: ignore[arg-type]
    app.add_exception_handler(DataError, _tell_unstorable)
    for away in AWAY:
        app.add_exception_handler(away, _tell_database_is_away)
    app.add_exception_handler(Exception, tell_ours)


def _tell_refusal(request: Request, error: HTTPException) -> Response:
    unknown = error.status_code == HTTP_404_NOT_FOUND and error.detail == "Not Found"
    headers = dict(error.headers or {})
    return _tell(request, error.status_code, _NOT_HERE if unknown else error.detail, headers=headers)


def _tell_misunderstanding(request: Request, error: RequestValidationError) -> Response:
    wrong = [{key: value for key, value in one.items() if key in ("type", "loc", "msg")} for one in error.errors()]
    if _is_for_programs(request):
        return JSONResponse({"detail": wrong}, HTTP_422_UNPROCESSABLE_CONTENT)
    if any(one["loc"][0] == "path" for one in wrong):
        return _tell(request, HTTP_404_NOT_FOUND, _NOT_HERE)
    said = "; ".join(f"{one['loc'][-1]}: {one['msg'][:1].lower()}{one['msg'][1:]}" for one in wrong)
    return _tell(request, HTTP_422_UNPROCESSABLE_CONTENT, f"The page does not understand this: {said}.")


def _tell_unstorable(request: Request, _error: Exception) -> Response:
    # PostgreSQL's texts have no NUL, of which nobody means anything.
    wrong = {"type": "value_error", "loc": ("query", "text"), "msg": "A character of it cannot be kept"}
    return _tell_misunderstanding(request, RequestValidationError([wrong]))


def _tell_database_is_away(request: Request, error: Exception) -> Response:
    _log.warning("page-database-away", error=describe(error).error)
    headers = {"Retry-After": str(AGAIN_SECONDS)}
    again = AGAIN_SECONDS if request.method == "GET" else None
    return _tell(request, HTTP_503_SERVICE_UNAVAILABLE, _AWAY, headers=headers, again=again)


def _tell(
    request: Request, status_code: int, problem: str, *, headers: dict[str, str] | None = None, again: int | None = None
) -> Response:
    if _is_for_programs(request):
        return JSONResponse({"detail": problem}, status_code, headers)
    who = getattr(request.state, "who", None)
    answer = page(request, "problem.html", who, problem=problem, again=again, status_code=status_code)
    answer.headers.update(headers or {})
    return answer


def _is_for_programs(request: Request) -> bool:
    return request.url.path.startswith("/api/")
