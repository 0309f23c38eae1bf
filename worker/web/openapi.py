"""The description of the API, for programs and their authors."""

from typing import Any

from fastapi import APIRouter, FastAPI, Request

from worker.web.access import User

router = APIRouter(include_in_schema=False)


@router.get("/api/v1/openapi.json")
def openapi(request: Request, _who: User) -> dict[str, Any]:
    """Return the OpenAPI document; it is nobody's business who is not signed in."""
    app: FastAPI = request.app
    return app.openapi()
