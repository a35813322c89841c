"""Two service processes on one Redis and one SQLite file."""

import asyncio

from tools.testbed.service_process import Person, sign_up

from tests.faults.conftest import Stage


async def test_a_logout_is_seen_by_the_other_at_its_next_request(stage: Stage) -> None:
    """What one process ends is ended for both at once, whichever way it was ended."""
    async with stage.client() as here, stage.client(stage.second) as there:
        for number in range(20):
            person = await sign_up(here)
            elsewhere = Person(there, person.email, person.tokens)
            assert (await elsewhere.me()).status_code == 200
            if number % 2:
                assert (await person.log_out()).status_code == 204
            else:
                assert (await person.log_out_everywhere()).json() == {"revoked": 1}
            assert (await elsewhere.me()).status_code == 401
            assert (await elsewhere.refresh()).status_code == 401


async def test_racers_at_two_processes_get_one_successor(stage: Stage) -> None:
    """The handoff works across processes: their MAC keys and the sealed successor are shared."""
    async with stage.client() as here, stage.client(stage.second) as there:
        person = await sign_up(here)
        elsewhere = Person(there, person.email, person.tokens)
        answers = await asyncio.gather(
            *(each.refresh() for _ in range(25) for each in (person, elsewhere))
        )
        assert [answer.status_code for answer in answers] == [200] * 50
        assert len({answer.json()["refreshToken"] for answer in answers}) == 1
        race = (each.log_out() for _ in range(25) for each in (person, elsewhere))
        statuses = sorted(answer.status_code for answer in await asyncio.gather(*race))
        assert statuses == [204] + [400] * 49


async def test_scripts_survive_being_forgotten(stage: Stage) -> None:
    """SCRIPT FLUSH in the midst of the work, or a server that has restarted, is not noticed."""
    async with stage.client() as here:
        people = [await sign_up(here) for _ in range(10)]
        for number in range(6):
            if number == 3:
                stage.redis.stop()
                stage.redis.start()
            with stage.redis.client() as client:
                client.script_flush()
            answers = await asyncio.gather(*(person.refresh() for person in people))
            if number == 3:  # connections that ended with the server
                answers = await asyncio.gather(*(person.refresh() for person in people))
            people = [
                person.holding(answer.json())
                for person, answer in zip(people, answers, strict=True)
                if answer.status_code == 200
            ]
            assert len(people) == 10
