"""Asking a source on the web: never for long, never for much, the same only once, and not while it is down."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from digital_twin.domain.errors import InvalidInput, NotAllowed, Unavailable
from digital_twin.services.ports import Clock

T = TypeVar("T")

LARGEST_BODY = 16 * 2**20
"""A month of quarter-hourly generation by kind is six megabytes of XML."""

DEADLINE_S = 20.0
WAITS_S = (0.5, 2.0)
"""Before the second and the third attempt."""

REST, LONGEST_REST = timedelta(seconds=30), timedelta(minutes=15)
USUAL_RETRY_AFTER, LONGEST_RETRY_AFTER = timedelta(minutes=1), timedelta(hours=1)

KEPT_FOR, KEPT_ANSWERS = timedelta(minutes=10), 128

ANSWERS = (200, 400)
"""What carries a document of the source's own: an answer, or why there is none."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    media_type: str
    body: bytes
    asked_at: datetime


class WebSource:
    """One host that is asked; it rests after failures, longer each time, or as long as it says itself."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        name: str,
        clock: Clock,
        *,
        deadline_s: float = DEADLINE_S,
        waits_s: tuple[float, ...] = WAITS_S,
    ) -> None:
        self.name = name
        self._client = client
        self._clock = clock
        self._deadline_s, self._waits_s = deadline_s, waits_s
        self._rests_until: datetime | None = None
        self._failures = 0
        self._kept: dict[str, tuple[datetime, Any]] = {}
        self._turn = asyncio.Lock()

    async def get(
        self,
        address: str,
        query: Mapping[str, str],
        read: Callable[[Reply], T],
        *,
        secrets: Mapping[str, str] | None = None,
    ) -> T:
        """What `read` makes of the reply in a thread, or made of that of the last minutes; secrets are never told.

        Raises:
            Unavailable: nothing answered in time; `retry_after_s` says when to ask again.
            NotAllowed: the source refuses who asks.
            InvalidInput: what answers is not what was asked, a redirect for one.
        """
        question = str(httpx.URL(address, params=dict(query)))
        async with self._turn:  # who asks the same at the same time is given the same
            now = self._clock.now()
            kept = self._kept.get(question)
            if kept is not None and now - kept[0] < KEPT_FOR:
                return kept[1]
            if self._rests_until is not None and now < self._rests_until:
                left_s = (self._rests_until - now).total_seconds()
                raise Unavailable(f"{self.name} is not asked again yet, it did not answer", retry_after_s=left_s)
            reply = await self._ask(address, {**query, **(secrets or {})})
            answer = await asyncio.to_thread(read, _without(reply, (secrets or {}).values()))  # a month takes a second
            self._keep(question, answer)
            return answer

    def _keep(self, question: str, answer: Any) -> None:
        self._kept.pop(question, None)
        while len(self._kept) >= KEPT_ANSWERS:
            del self._kept[next(iter(self._kept))]  # the oldest
        self._kept[question] = self._clock.now(), answer

    async def _ask(self, address: str, query: Mapping[str, str]) -> Reply:
        trouble, asked_at = "", self._clock.now()
        for wait_s in (0.0, *self._waits_s):
            await asyncio.sleep(wait_s)
            try:
                async with asyncio.timeout(self._deadline_s):
                    reply = await self._fetch(address, query, asked_at)
            except TimeoutError:
                trouble = f"did not answer within {self._deadline_s:g} s"
            except httpx.TransportError as error:
                trouble = f"could not be reached or broke off ({type(error).__name__})"
            else:
                if reply.status < 500:
                    self._failures = 0
                    return reply
                trouble = f"answers {reply.status}"
        rest = min(REST * 2**self._failures, LONGEST_REST)
        self._failures += 1
        raise self._rest(rest, f"{self.name} {trouble}, {1 + len(self._waits_s)} times in a row")

    async def _fetch(self, address: str, query: Mapping[str, str], asked_at: datetime) -> Reply:
        async with self._client.stream("GET", address, params=dict(query), follow_redirects=False) as response:
            status = response.status_code
            if status == 429:
                raise self._rest(self._retry_after(response), f"{self.name} was asked too often")
            if status in (401, 403):
                raise NotAllowed(f"{self.name} refuses the key or token that it is asked with ({status})")
            if status < 500 and status not in ANSWERS:
                raise InvalidInput(f"{self.name} answers {status}, which none of its answers has")
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > LARGEST_BODY:
                    raise InvalidInput(f"{self.name} answers with more than {LARGEST_BODY // 2**20} MiB")
            media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            return Reply(status, media_type, bytes(body), asked_at)

    def _retry_after(self, response: httpx.Response) -> timedelta:
        """From seconds or an HTTP date; a minute where nothing legible is said."""
        said = response.headers.get("retry-after", "")
        try:
            wait = timedelta(seconds=int(said)) if said.isdigit() else parsedate_to_datetime(said) - self._clock.now()
        except (ValueError, TypeError, OverflowError):
            return USUAL_RETRY_AFTER
        return min(max(wait, timedelta(seconds=1)), LONGEST_RETRY_AFTER)

    def _rest(self, rest: timedelta, sentence: str) -> Unavailable:
        self._rests_until = self._clock.now() + rest
        return Unavailable(sentence, retry_after_s=rest.total_seconds())


def _without(reply: Reply, secrets: Iterable[str]) -> Reply:
    """A source that repeats what it was asked must not tell our secrets on."""
    body = reply.body
    for secret in secrets:
        body = body.replace(secret.encode(), b"***")
    return replace(reply, body=body)
