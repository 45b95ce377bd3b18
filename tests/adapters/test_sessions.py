"""Log-ins while the account changes: what was verified must still hold when the session opens."""

import asyncio
from datetime import timedelta

import pytest

from digital_twin.adapters.clock import SystemClock
from digital_twin.adapters.passwords import BcryptHasher
from digital_twin.adapters.rate_limits import InProcessLimiter
from digital_twin.adapters.tokens import JwtSigner
from digital_twin.domain.errors import Conflict
from digital_twin.services.access import Caller, NotSignedIn, Role
from digital_twin.services.accounts import AccountService, RegistrationPolicy
from digital_twin.services.ports import Account, PasswordHasher, Store
from digital_twin.services.sessions import SessionService

OLD, NEW, OTHER = "correct horse battery", "another horse, another battery", "a third horse of mine"
CHEAP_COST = 4


class SlowHasher(BcryptHasher):
    """Says what it found only when it is let."""

    def __init__(self, cost: int) -> None:
        super().__init__(b"pepper", cost=cost)
        self.has_found, self.may_tell = asyncio.Event(), asyncio.Event()

    async def verify(self, password: str, stored: str | None) -> bool:
        found = await super().verify(password, stored)
        self.has_found.set()
        await self.may_tell.wait()
        return found


def accounts_on(store: Store, hasher: PasswordHasher) -> AccountService:
    return AccountService(store, SystemClock(), hasher, InProcessLimiter(), policy=RegistrationPolicy())


def sessions_on(store: Store, hasher: PasswordHasher) -> SessionService:
    signer = JwtSigner("only-for-tests-0123456789-0123456789", lifetime=timedelta(minutes=5))
    return SessionService(store, SystemClock(), hasher, signer, InProcessLimiter(), attempts=99)


async def found(store: Store) -> tuple[Account, AccountService, SessionService]:
    """An account with the old password, and the use cases."""
    hasher = BcryptHasher(b"pepper", cost=CHEAP_COST)
    accounts = accounts_on(store, hasher)
    for name in ("ada", "bob"):
        account = await accounts.create_administrator(username=name, email=f"{name}@example.org", password=OLD)
    return account, accounts, sessions_on(store, hasher)


@pytest.mark.parametrize("cost", [CHEAP_COST, CHEAP_COST + 1], ids=["", "hashed anew"])
async def test_a_log_in_with_the_old_password_does_not_outlast_its_change(store: Store, cost: int) -> None:
    account, accounts, sessions = await found(store)
    slow = SlowHasher(cost)
    login = asyncio.create_task(sessions_on(store, slow).login("bob", OLD, address="here"))
    await slow.has_found.wait()
    caller = Caller(account.account_id, "bob", Role.ADMIN)
    await accounts.change_password(caller, current=OLD, new=NEW)
    slow.may_tell.set()
    with pytest.raises(NotSignedIn):
        await login
    assert await sessions.sessions(caller) == []
    await sessions.login("bob", NEW, address="here")


async def test_a_log_in_does_not_outlast_the_account(store: Store) -> None:
    account, accounts, sessions = await found(store)
    slow = SlowHasher(CHEAP_COST)
    login = asyncio.create_task(sessions_on(store, slow).login("bob", OLD, address="here"))
    await slow.has_found.wait()
    await accounts.change(account.account_id, role=None, active=False)
    slow.may_tell.set()
    with pytest.raises(NotSignedIn):
        await login
    assert await sessions.sessions(Caller(account.account_id, "bob", Role.ADMIN)) == []


async def test_of_two_log_ins_that_hash_anew_both_open_a_session(store: Store) -> None:
    account, *_ = await found(store)
    sessions = sessions_on(store, BcryptHasher(b"pepper", cost=CHEAP_COST + 1))
    await asyncio.gather(*(sessions.login("bob", OLD, address="here") for _ in range(2)))
    assert len(await sessions.sessions(Caller(account.account_id, "bob", Role.ADMIN))) == 2


async def test_a_password_that_was_changed_meanwhile_is_not_changed_by_who_knew_the_old_one(store: Store) -> None:
    account, accounts, sessions = await found(store)
    slow = SlowHasher(CHEAP_COST)
    caller = Caller(account.account_id, "bob", Role.ADMIN)
    late = asyncio.create_task(accounts_on(store, slow).change_password(caller, current=OLD, new=OTHER))
    await slow.has_found.wait()
    await accounts.change_password(caller, current=OLD, new=NEW)
    slow.may_tell.set()
    with pytest.raises(Conflict, match="meanwhile"):
        await late
    await sessions.login("bob", NEW, address="here")


async def test_an_account_that_is_held_changes_afterwards(store: Store) -> None:
    account, *_ = await found(store)

    async def change() -> None:
        async with store.platform() as tx:
            await tx.accounts.update(account.account_id, password_hash="changed")

    async with store.platform() as tx:
        await tx.accounts.by_id(account.account_id, lock=True)
        changing = asyncio.create_task(change())
        for _ in range(50):  # journeys in which the other would have finished
            assert await tx.accounts.by_id(account.account_id) == account
            await asyncio.sleep(0)
    await changing
