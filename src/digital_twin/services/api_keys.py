"""Keys for services: prefix, scopes, communities and an end; shown once, kept as a hash."""

from collections.abc import Iterable
from datetime import timedelta

from digital_twin.domain.errors import InvalidInput, NotAllowed
from digital_twin.services.access import KEY_SCOPES, Access, Caller, NotSignedIn, Permission, Role
from digital_twin.services.ports import ApiKey, Clock, Store
from digital_twin.services.secrets import hash_secret, matches, new_id, new_secret
from digital_twin.services.sessions import HOW_TO_SIGN_IN

PREFIX = "dt_live_"
DEFAULT_DAYS, MAXIMUM_DAYS = 90, 365


class ApiKeyService:
    """Use cases around API keys."""

    def __init__(self, store: Store, clock: Clock, access: Access) -> None:
        self._store = store
        self._clock = clock
        self._access = access

    async def create(
        self, caller: Caller, *, name: str, scopes: Iterable[str], communities: Iterable[str], days: int = DEFAULT_DAYS
    ) -> tuple[str, ApiKey]:
        """The key, shown only now, and what is kept of it.

        Raises:
            InvalidInput: unknown scopes, no community, or too long a life.
            NotAllowed, NotFound: a scope that the caller lacks in one of the communities.
        """
        if caller.is_key:
            raise NotAllowed("an API key cannot make API keys; log in as a person")
        wanted, bound = frozenset(scopes), frozenset(communities)
        unknown = sorted(wanted - {str(scope) for scope in KEY_SCOPES})
        if unknown or not wanted:
            allowed = ", ".join(sorted(KEY_SCOPES))
            raise InvalidInput(f"scopes must be some of {allowed}", field="scopes")
        if not bound:
            raise InvalidInput("a key needs at least one community", field="communities")
        if not 1 <= days <= MAXIMUM_DAYS:
            raise InvalidInput(f"expires_in_days must lie in 1..{MAXIMUM_DAYS}", field="expires_in_days")
        for community_id in sorted(bound):
            for scope in sorted(wanted):
                await self._access.check(caller, Permission(scope), community_id)
            async with self._store.community(community_id):
                pass  # an administrator's right does not say that it is there
        now, secret, key_id = self._clock.now(), new_secret(), new_id()
        key = ApiKey(
            key_id=key_id,
            account_id=caller.account_id,
            name=name,
            secret_hash=hash_secret(secret),
            scopes=wanted,
            communities=bound,
            created_at=now,
            expires_at=now + timedelta(days=days),
            last_used_at=None,
            revoked=False,
        )
        async with self._store.platform() as tx:
            await tx.accounts.add_api_key(key)
        return f"{PREFIX}{key_id}_{secret}", key

    async def caller_of_key(self, text: str) -> Caller:
        """Who a request with this key comes from. Raises NotSignedIn."""
        key_id, _, secret = text.removeprefix(PREFIX).partition("_")
        async with self._store.platform() as tx:
            key = await tx.accounts.api_key(key_id) if text.startswith(PREFIX) else None
            account = await tx.accounts.by_id(key.account_id) if key else None
            good = (
                key is not None
                and account is not None
                and account.active
                and not key.revoked
                and key.expires_at > self._clock.now()
                and matches(secret, key.secret_hash)
            )
            if good and key is not None:
                await tx.accounts.touch_api_key(key.key_id)
        if not good or key is None or account is None:
            raise NotSignedIn(f"the API key is not valid; {HOW_TO_SIGN_IN}")
        return Caller(
            account.account_id,
            account.username,
            Role(account.role),
            key_id=key.key_id,
            scopes=key.scopes,
            key_communities=key.communities,
        )

    async def keys(self, caller: Caller) -> list[ApiKey]:
        """The caller's keys that are not revoked, newest first."""
        async with self._store.platform() as tx:
            return await tx.accounts.api_keys(caller.account_id)

    async def revoke(self, caller: Caller, key_id: str) -> None:
        """It is dead at once. Raises NotFound."""
        async with self._store.platform() as tx:
            await tx.accounts.revoke_api_key(caller.account_id, key_id)
