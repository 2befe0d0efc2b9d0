"""The page: files of the package, nothing else."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).parent.parent / "page"
#: asked for again each time, and not sent again unless it changed
_FRESH = {"Cache-Control": "no-cache"}


class Files(StaticFiles):
    """The package's files, always asked for again, so that a newer release shows at once."""

    def file_response(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        """As its parent, with `Cache-Control`."""
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers.update(_FRESH)
        return response


def page_routes() -> APIRouter:
    """The page's address; its files are mounted beside."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers=_FRESH)

    @router.get("/favicon.ico")
    async def icon() -> FileResponse:
        return FileResponse(STATIC / "icon.svg", media_type="image/svg+xml", headers=_FRESH)

    return router
