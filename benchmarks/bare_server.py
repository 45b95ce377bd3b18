"""A server that takes bodies and looks at nothing in them: the floor of whatever takes them for real."""

import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

import httpx

_PROGRAM = """
import sys
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

async def read(request: Request) -> JSONResponse:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return JSONResponse({"bytes": size})

app = Starlette(routes=[Route("/", read, methods=["GET", "POST"])])
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_config=None, access_log=False, server_header=False)
"""


@contextmanager
def bare_server(port: int) -> Generator[int]:
    """The port that it answers at."""
    server = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(port)])
    try:
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/").raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait(10)
