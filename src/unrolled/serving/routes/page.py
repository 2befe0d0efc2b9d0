"""The page: its files are part of the package."""

from __future__ import annotations

import os
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

PAGE = Path(__file__).parent.parent / "page"
#: browsers ask each time whether a file has changed, so that a newer release shows at once
_FRESH = {"Cache-Control": "no-cache"}


class PageFiles(StaticFiles):
    """The page's files, with `Cache-Control`."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Return a file, or 304 if the browser has it."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(_FRESH)
        return response


def page_routes() -> APIRouter:
    """Return the routes; the other files are mounted beside them."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers=_FRESH)

    @router.get("/favicon.ico")
    async def icon() -> FileResponse:
        return FileResponse(PAGE / "icon.svg", media_type="image/svg+xml", headers=_FRESH)

    return router
