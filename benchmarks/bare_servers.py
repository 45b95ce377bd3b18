"""Servers that do nothing of what a real one does: the floors of those that do."""

import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

import httpx
from tests.e2e.serving import free_port

HELLO_WORLD = """
from fastapi import FastAPI

app = FastAPI()

@app.get("/")
async def hello() -> dict[str, str]:
    return {"hello": "world"}
"""
"""Answers, and asks nobody."""

BODY_READER = """
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
"""
"""Takes bodies and looks at nothing in them."""

_SERVE = """
import sys
import uvicorn
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_config=None, access_log=False, server_header=False)
"""


@contextmanager
def bare_server(program: str) -> Generator[int]:
    """The port that it answers at."""
    port = free_port()
    server = subprocess.Popen([sys.executable, "-c", program + _SERVE, str(port)])
    try:
        while server.poll() is None:
            try:
                httpx.get(f"http://127.0.0.1:{port}/").raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait(10)
