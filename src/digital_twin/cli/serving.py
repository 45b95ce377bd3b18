"""Serving: the port is taken before anything starts, and what keeps the twin from starting is one sentence."""

import errno
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from typing import Any

import uvicorn

from digital_twin.domain.errors import InvalidInput, TwinError, Unavailable

Application = Callable[[Any, Any, Any], Awaitable[None]]
"""ASGI: scope, receive, send."""

NO_SUCH_ADDRESS_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def run_server(app: Application, *, host: str, port: int, listener: int | None = None, **options: Any) -> None:
    """Serve until a signal ends it, on a listening socket that was handed down if there is one; more for uvicorn.

    Raises:
        InvalidInput: the address cannot be listened on.
        TwinError: whatever keeps the application from starting.
        Unavailable: it did not start for a reason that is logged.
    """
    expect_to_stay()
    startup = _Startup(app)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # a terminal that closes takes its database with it
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    with ExitStack() as stack:
        listeners = [stack.enter_context(one) for one in (_bound(host, port) if listener is None else _given(listener))]
        server = uvicorn.Server(uvicorn.Config(startup, host=host, port=port, **options))
        try:
            with suppress(SystemExit):  # its way to say that the application did not start
                server.run(sockets=listeners)
        except KeyboardInterrupt:
            if not server.started:
                raise
    if startup.error is not None:
        raise startup.error
    if not server.started:
        raise Unavailable("the server did not start; the reason is above")


def expect_to_stay() -> None:
    """Have the garbage collector pass over what is there, and come more rarely.

    A body of readings is tens of thousands of objects, none of them in a cycle: looking through them again and again,
    with all modules beside them, took half of the time of reading it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def end_with_parent() -> None:
    """End as a signal would when standard input closes: a pipe whose other end the parent holds."""

    stdin = sys.stdin.fileno()

    def watch() -> None:
        while os.read(stdin, 4096):  # not through Python's own reader, whose lock would be held at the end
            pass
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def _given(listener: int) -> list[socket.socket]:
    """The socket that was handed down; it goes to no child."""
    try:
        os.set_inheritable(listener, False)
        return [socket.socket(fileno=listener)]
    except OSError as error:
        raise InvalidInput(f"there is no socket with the descriptor {listener}", field="listener") from error


def _bound(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of the host; nobody else can take the port, and who connects waits for the start."""
    made: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                made.append(_listener(family, kind, protocol, address))
            except OSError as error:
                if error.errno not in NO_SUCH_ADDRESS_HERE or len(found) == 1:
                    raise
    except OSError as error:
        for one in made:
            one.close()
        reason = "it is taken by another program" if error.errno == errno.EADDRINUSE else error.strerror
        raise InvalidInput(
            f"cannot listen on {host} port {port}: {reason}; give another with --host and --port", field="port"
        ) from error
    return made


def _listener(family: int, kind: int, protocol: int, address: Any) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen()  # until then another that reuses addresses could bind it too
    except OSError:
        made.close()
        raise
    return made


class _Startup:
    """The application, whose own error at the start is kept instead of being logged with its traceback."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self.error: TwinError | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        failed: list[dict[str, Any]] = []

        async def sift(event: dict[str, Any]) -> None:
            if event["type"] == "lifespan.startup.failed":
                failed.append(event)
            else:
                await send(event)

        try:
            await self._app(scope, receive, sift)
        except TwinError as error:
            if not failed:
                raise
            self.error = error
            logging.getLogger("uvicorn.error").disabled = True  # the sentence is told once
            await send({"type": "lifespan.startup.failed", "message": ""})
        except BaseException:
            for event in failed:
                await send(event)
            raise
