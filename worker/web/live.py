"""News for open pages: one look at the database for all of them, and one line to each when something changed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import func, select
from starlette.concurrency import run_in_threadpool

from worker.db import AWAY, Database
from worker.tables import Event
from worker.web.access import User, may_still_look

LOOK_SECONDS = 0.5
LATE = 1000  # so many events may be committed before one that began earlier
QUIET_SECONDS = 5  # then a line is sent all the same: a connection that broke is noticed, and a session that ended
MOST_LISTENERS = 200

_log = structlog.get_logger()
router = APIRouter(include_in_schema=False)


@dataclass
class News:
    """How often the audit trail, in which every change of a study is recorded, was seen to have grown."""

    database: Database
    newest: int = 0
    seen: tuple[int, int] = (0, 0)
    listeners: int = 0
    ended: bool = False
    away: bool = False
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def follow(self) -> None:
        """Look again and again, for as long as somebody listens."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self.listeners == 0:
                continue
            try:
                found, away = await run_in_threadpool(self._look), False
            except AWAY:
                found, away = self.seen, True
            if away and not self.away:
                _log.warning("page-database-away")
            self.away = away
            if found != self.seen:
                self.seen, self.newest = found, self.newest + 1
                await self._notify()

    async def end(self) -> None:
        """Let nobody wait for news any more."""
        self.ended = True
        await self._notify()

    async def after(self, seen: int) -> int:
        """Wait until something is newer than what was seen, or for `QUIET_SECONDS`; returns the newest."""
        try:
            async with asyncio.timeout(QUIET_SECONDS), self._changed:
                await self._changed.wait_for(lambda: self.ended or self.newest != seen)
        except TimeoutError:
            pass
        return self.newest

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _look(self) -> tuple[int, int]:
        """Return the last number, and how many of those before it are there: PostgreSQL draws it before the commit."""
        with self.database.read() as session:
            last = session.scalar(select(func.max(Event.id))) or 0
            late = select(func.count()).select_from(Event).where(Event.id > last - LATE)
            return last, session.scalar(late) or 0


@asynccontextmanager
async def following(app: FastAPI) -> AsyncIterator[None]:
    """Follow the database for as long as the application runs."""
    task = asyncio.create_task(app.state.news.follow())
    yield
    task.cancel()


@router.get("/events")
async def events(request: Request, _who: User) -> StreamingResponse:
    """Tell of every change (server-sent events): the page fetches what it shows."""
    news: News = request.app.state.news
    return StreamingResponse(_lines(request, news), media_type="text/event-stream")


def _may_listen(request: Request) -> bool:
    try:
        return may_still_look(request)
    except AWAY:
        return True  # nobody knows; what the page fetches is refused by itself


async def _lines(request: Request, news: News) -> AsyncIterator[str]:
    if news.listeners >= MOST_LISTENERS:
        yield "retry: 30000\n\n"
        return
    news.listeners += 1
    try:
        seen = news.newest
        yield "retry: 2000\ndata: hello\n\n"
        while not (news.ended or await request.is_disconnected()):
            newest = await news.after(seen)
            if not await run_in_threadpool(_may_listen, request):
                return  # the browser asks again, and is led to the form
            yield ": nothing new\n\n" if newest == seen else f"id: {newest}\ndata: changed\n\n"
            seen = newest
    finally:
        news.listeners -= 1
