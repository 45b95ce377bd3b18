"""Interactive documentation at /docs that needs no other host: Swagger UI's files come from a package of ours."""

from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

_ASSETS = Path(str(files("fastapi_offline") / "static"))
_SERVED = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Digital twin of energy communities: API</title>
<link rel="icon" href="/docs/assets/favicon.png">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/assets/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: false,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""


def add_docs(app: FastAPI) -> None:
    """Serve the page and what it loads; scripts are files, so that the page's policy need not allow inline ones."""

    async def page(request: Request) -> Response:
        return HTMLResponse(_PAGE)

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name == "start.js":
            return Response(_START, media_type="text/javascript")
        if name not in _SERVED:
            raise HTTPException(404)
        return FileResponse(_ASSETS / name)

    app.add_route("/docs", page, include_in_schema=False)
    app.add_route("/docs/assets/{name}", asset, include_in_schema=False)
