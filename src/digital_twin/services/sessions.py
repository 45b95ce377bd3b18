"""Sessions: a log-in, the tokens that follow from it, and who a request comes from."""

from dataclasses import dataclass
from datetime import timedelta

from digital_twin.domain.errors import NotFound
from digital_twin.services.access import Caller, NotSignedIn, Role
from digital_twin.services.accounts import limit
from digital_twin.services.ports import Account, Clock, PasswordHasher, RateLimiter, Session, Store, TokenSigner
from digital_twin.services.secrets import hash_secret, matches, new_id, new_secret
from digital_twin.telemetry import LOGINS

SESSION_LIFETIME = timedelta(days=30)
ROTATION_GRACE = timedelta(seconds=10)
LOGIN_WINDOW = timedelta(minutes=5)
ADDRESS_FACTOR, GLOBAL_FACTOR = 3, 100
"""Logins allowed per address and in all, in multiples of those allowed per account."""

HOW_TO_SIGN_IN = (
    "sign in: POST /auth/login with username and password gives an access token; "
    "send it as `Authorization: Bearer ...`, or an API key as `X-API-Key`"
)


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a log-in or a refresh gives."""

    access_token: str
    expires_in: timedelta
    refresh_token: str
    refresh_expires_in: timedelta


class SessionService:
    """Use cases around sessions."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        hasher: PasswordHasher,
        signer: TokenSigner,
        limiter: RateLimiter,
        *,
        attempts: int,
    ) -> None:
        """`attempts` log-ins per account are allowed in five minutes."""
        self._store = store
        self._clock = clock
        self._hasher = hasher
        self._signer = signer
        self._limiter = limiter
        self._attempts = attempts

    async def login(self, username: str, password: str, *, address: str) -> TokenPair:
        """Tokens of a new session. Unknown, inactive and wrong look and last the same.

        Raises:
            NotSignedIn: username and password do not belong together.
            TooManyRequests: too many attempts for this account, address or installation.
        """
        counters = {
            f"login to {username.lower()}": 1,
            f"login from {address}": ADDRESS_FACTOR,
            "login": GLOBAL_FACTOR,
        }
        for key, factor in counters.items():
            await limit(self._limiter, key, factor * self._attempts, LOGIN_WINDOW, "log-in attempts")
        tokens = None
        while tokens is None:  # again when the password was changed meanwhile
            tokens = await self._open(await self._verified(username, password), password)
        LOGINS.labels("accepted").inc()
        return tokens

    async def _verified(self, username: str, password: str) -> Account:
        async with self._store.platform() as tx:
            account = await tx.accounts.by_username(username)
        usable = account if account is not None and account.active else None
        if not await self._hasher.verify(password, usable.password_hash if usable else None) or usable is None:
            LOGINS.labels("refused").inc()
            raise NotSignedIn("username and password do not belong together")
        return usable

    async def _open(self, account: Account, password: str) -> TokenPair | None:
        """A new session, unless the account is another by now than when its password was verified."""
        is_outdated = self._hasher.is_outdated(account.password_hash)
        fresh = await self._hasher.hash(password) if is_outdated else None
        now = self._clock.now()
        session_id, secret = new_id(), new_secret()
        session = Session(
            session_id=session_id,
            account_id=account.account_id,
            created_at=now,
            expires_at=now + SESSION_LIFETIME,
            last_used_at=now,
            token_hash=hash_secret(secret),
            previous_hash=None,
            rotated_at=None,
            revoked=False,
        )
        async with self._store.platform() as tx:
            current = await tx.accounts.by_id(account.account_id, lock=True)
            if current is None or not current.active or current.password_hash != account.password_hash:
                return None
            if fresh is not None:
                await tx.accounts.update(account.account_id, password_hash=fresh)
            await tx.accounts.add_session(session)
        return self._pair(session, secret)

    def _pair(self, session: Session, secret: str) -> TokenPair:
        now = self._clock.now()
        access = self._signer.sign(account_id=session.account_id, session_id=session.session_id, now=now)
        return TokenPair(access, self._signer.lifetime, f"{session.session_id}.{secret}", session.expires_at - now)

    async def refresh(self, refresh_token: str) -> TokenPair:
        """The next pair; each refresh token is good once.

        One that comes again within ten seconds is taken for a lost answer and gets the same successor; any other that
        is not the newest is taken for a theft and ends the session, whose id only its tokens name.

        Raises:
            NotSignedIn: the token is unknown, expired, revoked, or was used before.
        """
        session_id, _, secret = refresh_token.partition(".")
        successor = self._signer.successor(secret)
        async with self._store.platform() as tx:
            session = await tx.accounts.session(session_id, lock=True)
            account = await tx.accounts.by_id(session.account_id) if session else None
            verdict = self._judge(session, account, secret, successor)
            if session is not None and verdict == "stolen":
                await tx.accounts.revoke_sessions(session.account_id, session_id=session_id)
            if verdict == "newest":
                await tx.accounts.rotate_session(session_id, token_hash=hash_secret(successor))
        if session is None or verdict not in ("newest", "repeated"):
            raise NotSignedIn("this refresh token is not valid any more; log in again")
        return self._pair(session, successor)

    def _judge(self, session: Session | None, account: Account | None, secret: str, successor: str) -> str:
        now = self._clock.now()
        if session is None or account is None or not account.active or session.revoked or session.expires_at <= now:
            return "refused"
        if matches(secret, session.token_hash):
            return "newest"
        in_grace = session.rotated_at is not None and now - session.rotated_at <= ROTATION_GRACE
        repeated = in_grace and matches(secret, session.previous_hash) and matches(successor, session.token_hash)
        return "repeated" if repeated else "stolen"

    async def caller_of_token(self, token: str) -> Caller:
        """Who a request with this access token comes from.

        Raises:
            NotSignedIn: the token is not good, or its session or account has ended.
        """
        verified = self._signer.verify(token, now=self._clock.now())
        found = None
        if verified is not None:
            async with self._store.platform() as tx:
                found = await tx.accounts.session_with_account(verified[1])
        if verified is None or found is None:
            raise NotSignedIn(f"the access token is not valid; {HOW_TO_SIGN_IN}")
        session, account = found
        ended = session.revoked or not account.active or session.expires_at <= self._clock.now()
        if ended or account.account_id != verified[0]:
            raise NotSignedIn(f"the session has ended; {HOW_TO_SIGN_IN}")
        return Caller(
            account.account_id,
            account.username,
            Role(account.role),
            session_id=session.session_id,
            logged_in_at=session.created_at,
        )

    async def sessions(self, caller: Caller) -> list[Session]:
        """The caller's open sessions, newest first."""
        async with self._store.platform() as tx:
            return await tx.accounts.sessions(caller.account_id)

    async def end(self, caller: Caller, session_id: str) -> None:
        """Log out of one session; its tokens are dead at once. Raises NotFound."""
        async with self._store.platform() as tx:
            if not await tx.accounts.revoke_sessions(caller.account_id, session_id=session_id):
                raise NotFound("there is no such open session")

    async def end_all(self, caller: Caller) -> None:
        """Log out everywhere."""
        async with self._store.platform() as tx:
            await tx.accounts.revoke_sessions(caller.account_id)
