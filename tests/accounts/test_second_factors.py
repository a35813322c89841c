"""The second factor in the user store, under those who change it at the same time."""

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from service.accounts.emails import normalize
from service.accounts.passwords import PasswordHash
from service.accounts.second_factors import SecondFactor, SecondFactors
from service.accounts.users import Users
from service.database import tables
from tests.support.user_stores import UserStore

TURNS = 10


@pytest.fixture
async def engines(user_store: UserStore) -> AsyncIterator[list[AsyncEngine]]:
    """Those of two processes."""
    engines = [user_store.open(), user_store.open()]
    yield engines
    for engine in engines:
        await engine.dispose()


@pytest.fixture
def pods(engines: list[AsyncEngine]) -> list[SecondFactors]:
    return [SecondFactors(engine) for engine in engines]


@pytest.fixture
async def user_id(engines: list[AsyncEngine]) -> bytes:
    added = await Users(engines[0]).add(
        normalize("ada@example.com"), PasswordHash(1, "$2b$04$x"), datetime.now(UTC)
    )
    return added.id


def new_factor() -> SecondFactor:
    return SecondFactor(secrets.token_bytes(16), secrets.token_bytes(60))


def new_codes() -> list[bytes]:
    return sorted(secrets.token_bytes(32) for _ in range(10))


async def stored_codes(engine: AsyncEngine) -> list[bytes]:
    async with engine.connect() as connection:
        return sorted((await connection.execute(select(tables.recovery_codes.c.digest))).scalars())


async def version_of(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return (await connection.execute(select(func.max(tables.users.c.version)))).scalar_one()


async def test_of_racing_enrolments_one_is_on(
    pods: list[SecondFactors], engines: list[AsyncEngine], user_id: bytes
) -> None:
    """Proves that the secret and the codes that are stored belong together."""
    for _ in range(TURNS):
        offers = [(new_factor(), new_codes()) for _ in range(4)]
        answers = await asyncio.gather(
            *(
                pod.enable(user_id, factor, codes)
                for pod, (factor, codes) in zip(pods * 2, offers, strict=True)
            )
        )
        [winner] = [index for index, answer in enumerate(answers) if answer is not None]
        stored = await pods[0].get(user_id)
        assert stored == replace(offers[winner][0], version=answers[winner])
        assert await stored_codes(engines[0]) == offers[winner][1]
        assert await pods[1].disable(user_id, offers[winner][0].enrolment_id) is not None


async def test_a_code_is_burnt_once(
    pods: list[SecondFactors], engines: list[AsyncEngine], user_id: bytes
) -> None:
    """Proves that of those who race for a code one has it, and that only it raises the version."""
    factor, codes = new_factor(), new_codes()
    await pods[0].enable(user_id, factor, codes)
    for code in codes:
        before = await version_of(engines[0])
        answers = await asyncio.gather(
            *(pod.burn(user_id, factor.enrolment_id, code) for pod in pods * 3)
        )
        [after] = [answer for answer in answers if answer is not None]
        assert await version_of(engines[0]) == after > before
    assert await stored_codes(engines[0]) == []


async def test_a_code_of_another_enrolment_is_not_burnt(
    pods: list[SecondFactors], engines: list[AsyncEngine], user_id: bytes
) -> None:
    """Proves that whoever has seen an enrolment that is off by now takes nothing from the next."""
    factor, codes = new_factor(), new_codes()
    version = await pods[0].enable(user_id, factor, codes)
    assert await pods[1].burn(user_id, secrets.token_bytes(16), codes[0]) is None
    assert await stored_codes(engines[0]) == codes
    assert await version_of(engines[0]) == version


async def test_versions_are_not_counted(
    pods: list[SecondFactors], engines: list[AsyncEngine], user_id: bytes
) -> None:
    """Proves that two stores that were one never give the same version to different rows: each
    step is random, of 2^31, and a version stays exact in a Lua number."""
    versions = [0]
    for _ in range(TURNS):
        factor, codes = new_factor(), new_codes()
        for change in (
            pods[0].enable(user_id, factor, codes),
            pods[1].replace_codes(user_id, factor.enrolment_id, codes),
            pods[0].burn(user_id, factor.enrolment_id, codes[0]),
            pods[1].disable(user_id, factor.enrolment_id),
        ):
            version = await change
            assert version is not None
            versions.append(version)
    steps = [after - before for before, after in itertools.pairwise(versions)]
    assert len(set(steps)) == len(steps)
    assert 0 < min(steps) <= max(steps) <= 2**31
    assert max(steps) > 2**20


async def test_changes_do_not_wait_crosswise(
    pods: list[SecondFactors], engines: list[AsyncEngine], user_id: bytes
) -> None:
    """Proves that using, renewing and turning off take turns: none fails, codes stay whole."""
    for _ in range(TURNS):
        factor, codes, renewed = new_factor(), new_codes(), [new_codes(), new_codes()]
        await pods[0].enable(user_id, factor, codes)
        burnt = [pods[n % 2].burn(user_id, factor.enrolment_id, codes[n]) for n in range(4)]
        renewals = [
            pod.replace_codes(user_id, factor.enrolment_id, codes)
            for pod, codes in zip(pods, renewed, strict=True)
        ]
        answers = await asyncio.gather(*burnt, *renewals)
        assert None not in answers[-2:]
        assert await stored_codes(engines[0]) in renewed
        last = [pod.disable(user_id, factor.enrolment_id) for pod in pods]
        code = (await stored_codes(engines[0]))[0]
        answers = await asyncio.gather(pods[0].burn(user_id, factor.enrolment_id, code), *last)
        assert answers[1:].count(None) == 1
        assert await stored_codes(engines[0]) == []
