"""Accounts, memberships, sessions, keys and invites in SQL."""

from typing import Any

from psycopg import AsyncConnection, errors
from psycopg.rows import TupleRow

from digital_twin.adapters.postgres import locks
from digital_twin.domain.errors import Conflict, NotFound
from digital_twin.services.ports import Account, ApiKey, Invite, Membership, Session

_ACCOUNT = "id, username, email, role, requested_role, password_hash, active, created_at"
_SESSION = "id, account, created_at, expires_at, last_used_at, token_hash, previous_hash, rotated_at, revoked"
_API_KEY = "id, account, name, secret_hash, scopes, communities, created_at, expires_at, last_used_at, revoked"

# each new one makes room for some that ended long ago
_FORGET = (
    "delete from {table} where {key} in (select {key} from {table} "
    "where expires_at < clock_timestamp() - interval '30 days' order by expires_at limit 100 for update skip locked)"
)


class PostgresAccounts:
    """The port `Accounts`."""

    def __init__(self, connection: AsyncConnection[TupleRow]) -> None:
        self._connection = connection

    async def _one(self, query: str, *values: Any) -> tuple[Any, ...] | None:
        return await (await self._connection.execute(query, values)).fetchone()  # type: ignore[arg-type]

    async def _all(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return await (await self._connection.execute(query, values)).fetchall()  # type: ignore[arg-type]

    # Accounts

    async def create(
        self, *, username: str, email: str, password_hash: str, role: str, requested_role: str | None
    ) -> Account:
        row = await self._one(
            f"insert into account (username, email, role, requested_role, password_hash) values (%s, %s, %s, %s, %s) "
            f"on conflict do nothing returning {_ACCOUNT}",
            username, email, role, requested_role, password_hash,
        )  # fmt: skip
        if row is None:
            raise Conflict("this username or e-mail address is taken; choose another or log in")
        return Account(*row)

    async def by_username(self, username: str) -> Account | None:
        row = await self._one(f"select {_ACCOUNT} from account where lower(username) = lower(%s)", username)
        return None if row is None else Account(*row)

    async def by_id(self, account_id: int, *, lock: bool = False) -> Account | None:
        alone = " for no key update" if lock else ""
        row = await self._one(f"select {_ACCOUNT} from account where id = %s{alone}", account_id)
        return None if row is None else Account(*row)

    async def page(self, *, after: int, limit: int) -> list[Account]:
        rows = await self._all(f"select {_ACCOUNT} from account where id > %s order by id limit %s", after, limit)
        return [Account(*row) for row in rows]

    async def count_admins(self) -> int:
        """Active ones. Holds a lock until the transaction ends, so that the count stays true."""
        await self._connection.execute("select pg_advisory_xact_lock(%s)", (locks.ADMINISTRATORS,))
        row = await self._one("select count(*) from account where role = 'admin' and active")
        return 0 if row is None else int(row[0])

    async def update(
        self,
        account_id: int,
        *,
        role: str | None = None,
        active: bool | None = None,
        password_hash: str | None = None,
    ) -> Account:
        counts = role is not None or active is not None
        if counts:  # before the account itself, as everybody takes them
            await self._connection.execute("select pg_advisory_xact_lock(%s)", (locks.ADMINISTRATORS,))
        row = await self._one(
            "update account set role = coalesce(%s, role), active = coalesce(%s, active), "
            "password_hash = coalesce(%s, password_hash), "
            "requested_role = case when %s::text is null then requested_role end "
            f"where id = %s returning {_ACCOUNT}",
            role, active, password_hash, role, account_id,
        )  # fmt: skip
        if row is None:
            raise NotFound(f"there is no account {account_id}")
        if counts and await self.count_admins() == 0:
            raise Conflict("the last administrator cannot be demoted or deactivated; make another one first")
        return Account(*row)

    # Memberships

    async def memberships(self, *, account_id: int | None = None, community_id: str | None = None) -> list[Membership]:
        rows = await self._all(
            "select m.account, a.username, c.community_id, m.role, m.member_id, m.valid_from, m.valid_until "
            "from membership m join account a on a.id = m.account join community c on c.id = m.community "
            "where (%s::bigint is null or m.account = %s) and (%s::text is null or c.community_id = %s) "
            'order by c.community_id collate "C", a.username',
            account_id, account_id, community_id, community_id,
        )  # fmt: skip
        return [Membership(*row) for row in rows]

    async def put_membership(self, membership: Membership) -> None:
        try:
            cursor = await self._connection.execute(
                "insert into membership (community, account, role, member_id, valid_from, valid_until) "
                "select id, %s, %s, %s, %s, %s from community where community_id = %s "
                "on conflict (community, account) do update set role = excluded.role, "
                "member_id = excluded.member_id, valid_from = excluded.valid_from, valid_until = excluded.valid_until",
                (
                    membership.account_id, membership.role, membership.member_id, membership.valid_from,
                    membership.valid_until, membership.community_id,
                ),
            )  # fmt: skip
        except errors.ForeignKeyViolation as error:
            raise NotFound(f"there is no account {membership.account_id}") from error
        if not cursor.rowcount:
            raise NotFound(f"there is no community {membership.community_id!r} that you may see")

    async def remove_membership(self, account_id: int, community_id: str) -> None:
        cursor = await self._connection.execute(
            "delete from membership where account = %s "
            "and community = (select id from community where community_id = %s)",
            (account_id, community_id),
        )
        if not cursor.rowcount:
            raise NotFound("there is no such membership")

    # Sessions

    async def add_session(self, session: Session) -> None:
        await self._connection.execute(_FORGET.format(table="session", key="id"))  # type: ignore[arg-type]
        await self._connection.execute(
            f"insert into session ({_SESSION}) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                session.session_id, session.account_id, session.created_at, session.expires_at, session.last_used_at,
                session.token_hash, session.previous_hash, session.rotated_at, session.revoked,
            ),
        )  # fmt: skip

    async def session(self, session_id: str, *, lock: bool = False) -> Session | None:
        row = await self._one(
            f"select {_SESSION} from session where id = %s{' for update' if lock else ''}", session_id
        )
        return None if row is None else Session(*row)

    async def session_with_account(self, session_id: str) -> tuple[Session, Account] | None:
        names = ", ".join(f"s.{name.strip()}" for name in _SESSION.split(","))
        account_names = ", ".join(f"a.{name.strip()}" for name in _ACCOUNT.split(","))
        row = await self._one(
            f"select {names}, {account_names} from session s join account a on a.id = s.account where s.id = %s",
            session_id,
        )
        return None if row is None else (Session(*row[:9]), Account(*row[9:]))

    async def sessions(self, account_id: int) -> list[Session]:
        rows = await self._all(
            f"select {_SESSION} from session where account = %s and not revoked and expires_at > clock_timestamp() "
            "order by created_at desc",
            account_id,
        )
        return [Session(*row) for row in rows]

    async def rotate_session(self, session_id: str, *, token_hash: bytes) -> None:
        await self._connection.execute(
            "update session set previous_hash = token_hash, token_hash = %s, rotated_at = clock_timestamp(), "
            "last_used_at = clock_timestamp() where id = %s",
            (token_hash, session_id),
        )

    async def revoke_sessions(self, account_id: int, *, session_id: str | None = None) -> int:
        cursor = await self._connection.execute(
            "update session set revoked = true where account = %s and id = coalesce(%s, id) and not revoked",
            (account_id, session_id),
        )
        return cursor.rowcount

    # API keys

    async def add_api_key(self, key: ApiKey) -> None:
        await self._connection.execute(
            f"insert into api_key ({_API_KEY}) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                key.key_id, key.account_id, key.name, key.secret_hash, sorted(key.scopes), sorted(key.communities),
                key.created_at, key.expires_at, key.last_used_at, key.revoked,
            ),
        )  # fmt: skip

    async def api_key(self, key_id: str) -> ApiKey | None:
        row = await self._one(f"select {_API_KEY} from api_key where id = %s", key_id)
        return None if row is None else _api_key(row)

    async def api_keys(self, account_id: int) -> list[ApiKey]:
        rows = await self._all(
            f"select {_API_KEY} from api_key where account = %s and not revoked order by created_at desc", account_id
        )
        return [_api_key(row) for row in rows]

    async def revoke_api_key(self, account_id: int, key_id: str) -> None:
        cursor = await self._connection.execute(
            "update api_key set revoked = true where account = %s and id = %s and not revoked", (account_id, key_id)
        )
        if not cursor.rowcount:
            raise NotFound("there is no such API key")

    async def touch_api_key(self, key_id: str) -> None:
        """At most once a minute: when it was used last is for people."""
        await self._connection.execute(
            "update api_key set last_used_at = clock_timestamp() where id = %s "
            "and coalesce(last_used_at < clock_timestamp() - interval '1 minute', true)",
            (key_id,),
        )

    # Invites

    async def add_invite(self, invite: Invite) -> None:
        await self._connection.execute(_FORGET.format(table="invite", key="token_hash"))  # type: ignore[arg-type]
        await self._connection.execute(
            "insert into invite (token_hash, role, community_id, member_id, created_by, expires_at) "
            "values (%s, %s, %s, %s, %s, %s)",
            (
                invite.token_hash, invite.role, invite.community_id, invite.member_id, invite.created_by,
                invite.expires_at,
            ),
        )  # fmt: skip

    async def take_invite(self, token_hash: bytes) -> Invite:
        row = await self._one(
            "delete from invite where token_hash = %s and expires_at > clock_timestamp() "
            "returning token_hash, role, community_id, member_id, created_by, expires_at",
            token_hash,
        )
        if row is None:
            raise NotFound("this invite is unknown, used or expired; ask for a new one")
        return Invite(*row)


def _api_key(row: tuple[Any, ...]) -> ApiKey:
    key_id, account, name, secret_hash, scopes, communities, *rest = row
    return ApiKey(key_id, account, name, secret_hash, frozenset(scopes), frozenset(communities), *rest)
