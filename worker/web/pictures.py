"""Films and activation maps as PNG."""

import io
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request, Response
from PIL import Image
from starlette.status import HTTP_404_NOT_FOUND, HTTP_410_GONE

from worker.films import DamagedFilmError, unpack_activation_map, unpack_stored_film
from worker.model.overlay import overlay
from worker.repository.page_pictures import StoredFrame, foremost_frame, stored_frame
from worker.service import Service
from worker.web.access import Person
from worker.web.actions import Uid

THUMBNAIL_PIXELS = 96
_KEPT = {"Cache-Control": "private, max-age=600", "Vary": "Cookie"}

router = APIRouter(include_in_schema=False)

Number = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.get("/studies/{uid}/thumbnail.png")
def thumbnail(request: Request, uid: Uid, _who: Person) -> Response:
    """Show the most suspicious film of a study, small."""
    service: Service = request.app.state.service
    with service.database.read() as session:
        stored = foremost_frame(session, uid)
    film = _film(stored)
    film.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    return _png(film)


@router.get("/studies/{uid}/images/{image_id}/{frame}/film.png")
def film(request: Request, uid: Uid, image_id: Number, frame: Number, _who: Person) -> Response:
    """Show a film as the network saw it."""
    return _png(_film(_stored(request, uid, image_id, frame)))


@router.get("/studies/{uid}/images/{image_id}/{frame}/heatmap.png")
def heatmap(request: Request, uid: Uid, image_id: Number, frame: Number, _who: Person) -> Response:
    """Show a film with the model's activation map over it."""
    stored = _stored(request, uid, image_id, frame)
    if stored is None or stored.pixels is None or stored.activation_map is None:
        raise HTTPException(HTTP_410_GONE, "there is no activation map of this film, or it was purged")
    try:
        mixed = overlay(unpack_stored_film(stored.pixels), unpack_activation_map(stored.activation_map))
    except DamagedFilmError as error:
        raise _unreadable(error) from error
    return _png(Image.fromarray(mixed))


def _stored(request: Request, uid: str, image_id: int, frame: int) -> StoredFrame | None:
    service: Service = request.app.state.service
    with service.database.read() as session:
        return stored_frame(session, uid, image_id, frame)


def _film(stored: StoredFrame | None) -> Image.Image:
    if stored is None:
        raise HTTPException(HTTP_404_NOT_FOUND, "no such film was prepared")
    if stored.pixels is None:
        raise HTTPException(HTTP_410_GONE, "this film was purged, as `[retention]` says")
    try:
        return Image.fromarray(unpack_stored_film(stored.pixels))
    except DamagedFilmError as error:
        raise _unreadable(error) from error


def _unreadable(error: DamagedFilmError) -> HTTPException:
    return HTTPException(HTTP_410_GONE, f"the picture cannot be read: {error}")


def _png(picture: Image.Image) -> Response:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return Response(buffer.getvalue(), media_type="image/png", headers=_KEPT)
