"""ServeStatic, for the addresses of static files alone."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from servestatic.middleware import ServeStaticMiddleware


class StaticFiles(ServeStaticMiddleware):
    """Serves static files; where they are looked up anew, other requests need no thread for it.

    With ``SERVESTATIC_AUTOREFRESH``, ServeStatic looks in a thread if there is a file, whatever
    the address is.
    """

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer with a file, or ask the next middleware."""
        if not request.path_info.startswith(self.static_prefix):
            return await self.get_response(request)
        return await super().__call__(request)
