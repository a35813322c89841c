"""Metrics of what calls came to, and of what goes on beside them."""

import os
import platform
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import REGISTRY
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.parser import text_string_to_metric_families
from tools.testbed.redis_server import RedisServer, available
from tools.testbed.service_process import PASSWORD, PATIENT, Person, ServiceProcess
from tools.testbed.waiting import wait_until

from service import app
from service.readiness.checks import clock_part
from service.readiness.status import Part, Readiness
from service.reply_times import ReplyTimes
from service.web.metrics import outcomes
from service.web.metrics.gauges import Gauges, Sources
from tests.processes.test_workers import workers_of

Samples = dict[tuple[str, frozenset[str]], float]


def read(text: str) -> Samples:
    """Each sample by its name and the values of its labels."""
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def key(name: str, *labels: str) -> tuple[str, frozenset[str]]:
    return (f"openshow_{name}", frozenset(labels))


async def test_outcomes_are_counted(http: httpx.AsyncClient, person: Person) -> None:
    """Each call once, under what it came to; what was a success is no failure besides."""

    async def told() -> Samples:
        return read((await http.get("/metrics")).text)

    before = await told()
    other = await person.log_in()
    third = await person.log_in()
    fourth = await person.log_in()
    wrong = {"email": person.email, "password": "no " + PASSWORD}
    assert (await http.post("/auth/login", json=wrong)).status_code == 401
    assert (await http.post("/auth/login", json={})).status_code == 400
    assert (await http.get("/auth/login")).status_code == 405
    spent = person.tokens["refreshToken"]
    for _ in range(2):
        answer = await person.refresh()
        assert answer.status_code == 200
        person.tokens = answer.json()
    assert (await person.refresh(spent)).status_code == 401  # theft: its successor is spent, too
    assert (await person.refresh("osr_nonsense")).status_code == 401
    assert (await other.log_out()).status_code == 204
    assert (await other.log_out()).status_code == 400
    assert (await third.end(fourth.session_id)).status_code == 204
    assert (await third.log_out_everywhere()).json() == {"revoked": 1}
    taken = {"email": person.email, "password": PASSWORD}
    assert (await http.post("/auth/signup", json=taken)).status_code == 409
    code = {"challengeId": "nonsense", "code": "123456"}
    assert (await http.post("/auth/login/2fa", json=code)).status_code == 401
    after = await told()
    grown = {
        name: value - before.get(name, 0)
        for name, value in after.items()
        if value != before.get(name, 0)
        and not name[0].endswith("_created")
        and "request" not in name[0]
        and name[0].startswith("openshow_")
        and name[0].endswith("_total")
    }
    assert grown == {
        key("logins_total", "success"): 3,
        key("logins_total", "invalid_credentials"): 1,
        key("logins_total", "bad_request"): 1,
        key("refreshes_total", "success"): 2,
        key("refreshes_total", "refresh_token_reused"): 1,
        key("refreshes_total", "invalid_refresh_token"): 1,
        key("signups_total", "email_taken"): 1,
        key("second_factors_total", "login", "challenge_not_found"): 1,
        key("sessions_opened_total", "login"): 3,
        key("sessions_ended_total", "reuse"): 1,
        key("sessions_ended_total", "logout"): 1,
        key("sessions_ended_total", "user"): 1,
        key("sessions_ended_total", "all"): 1,
    }
    replies = "openshow_redis_reply_seconds_count", frozenset[str]()
    assert after[replies] - before[replies] > 10
    assert after[key("build_info", *_labels(after, "openshow_build_info"))] == 1
    for part in ("redis", "users", "keyring", "clock"):
        assert after[key("ready", part)] == 1
    for use in ("data", "signing", "refresh-mac", "pepper", "email-digest"):
        assert 0 <= after[key("key_age_seconds", use)] < 3600
    assert abs(after[key("clock_skew_seconds")]) < 1
    assert after[key("workers")] == 1


def _labels(samples: Samples, name: str) -> frozenset[str]:
    [labels] = [labels for found, labels in samples if found == name]
    return labels


async def test_a_wrong_code_and_the_need_of_one_count(
    http: httpx.AsyncClient, person: Person
) -> None:
    """Enrolling with a wrong code is one at the door `enrolment`."""
    before = read((await http.get("/metrics")).text)
    enabled = await http.post("/auth/2fa/enable", headers=person.bearer)
    body = {"tempSecretId": enabled.json()["tempSecretId"], "code": "no code"}
    await http.post("/auth/2fa/verify", json=body, headers=person.bearer)
    after = read((await http.get("/metrics")).text)
    name = key("second_factors_total", "enrolment", "invalid_code")
    assert after[name] == before[name] + 1


async def test_sessions_that_end_at_once(http: httpx.AsyncClient, person: Person) -> None:
    """A changed password and a deleted account end as many as there were, under their reasons."""
    for _ in range(2):
        await person.log_in()
    before = read((await http.get("/metrics")).text)
    body = {"currentPassword": PASSWORD, "newPassword": "another " + PASSWORD}
    changed = await http.post("/auth/password/change", json=body, headers=person.bearer)
    assert changed.status_code == 200, changed.text
    person.tokens = changed.json()
    gone = await http.post("/auth/account/delete", headers=person.bearer)
    assert gone.status_code == 204, gone.text
    after = read((await http.get("/metrics")).text)
    for name, number in (
        (key("password_changes_total", "success"), 1),
        (key("sessions_opened_total", "password_change"), 1),
        (key("sessions_ended_total", "passwordChanged"), 3),
        (key("sessions_ended_total", "user.deleted"), 1),
    ):
        assert after[name] - before[name] == number, name


def test_what_an_operator_has_written_is_no_label() -> None:
    """Reasons of theirs are free text: all of them are one series."""
    before = value("sessions_ended_total", reason="operator")
    outcomes.ended("ticket 4711: she has lost her phone", 2)
    assert value("sessions_ended_total", reason="operator") == before + 2


@pytest.fixture
def two_workers(tmp_path: Path) -> Iterator[ServiceProcess]:
    server = RedisServer(available()["valkey"], tmp_path).start()
    (tmp_path / "tmp").mkdir()
    service = ServiceProcess(
        tmp_path, server.url, SERVICE_WORKERS="2", TMPDIR=str(tmp_path / "tmp"), **PATIENT
    ).start()
    yield service
    assert service.stop() == 0
    server.stop()


def test_workers_tell_together(two_workers: ServiceProcess) -> None:
    """Whichever is asked: counters are sums, gauges those of the living. One that is killed takes
    its gauges along, and what it has counted stays."""

    def told() -> Samples:
        return read(httpx.get(f"{two_workers.url}/metrics", timeout=30).text)

    body = {"email": "ada@example.org", "password": "wrong " + PASSWORD}
    for _ in range(8):  # a connection each, so that both get some
        assert httpx.post(f"{two_workers.url}/auth/login", json=body, timeout=30).status_code == 401
    wrong = key("logins_total", "invalid_credentials")
    for _ in range(20):
        httpx.get(f"{two_workers.url}/schema", timeout=30).raise_for_status()
    asked = key("requests_total", "/schema", "GET", "200")
    # Counted once answered, and another worker may be asked.
    wait_until(lambda: told()[wrong] == 8 and told().get(asked) == 20)
    for _ in range(4):
        found = told()
        assert (found[wrong], found[asked]) == (8, 20)
    wait_until(lambda: told()[key("workers")] == 2)
    assert sum(name == "openshow_build_info" for name, _ in told()) == 1
    assert told()[key("ready", "redis")] == 1
    assert two_workers.process
    killed, *_ = workers_of(two_workers.process)
    os.kill(killed, signal.SIGKILL)
    parent = two_workers.process

    def serving() -> bool:
        living = [pid for pid in workers_of(parent) if pid != killed]
        return len(living) == 2 and all(_has_begun(two_workers.directory, pid) for pid in living)

    wait_until(serving)
    assert told()[key("workers")] == 2
    assert told()[wrong] == 8


def _has_begun(directory: Path, worker: int) -> bool:
    """Whether a worker has told that it is there."""
    for file in directory.glob(f"tmp/*/gauge_livesum_{worker}.db"):
        values = MmapedDict.read_all_values_from_file(str(file))
        return any("openshow_workers" in name and value == 1 for name, value, *_ in values)
    return False


PROOFS = ("credentials", "password", "code", "refresh_token", "reset_token", "grant")


def test_whatever_proves_something_is_counted() -> None:
    """A route that can answer that a proof is wrong has a row in the table of outcomes."""
    codes = {f"`invalid_{proof}`" for proof in PROOFS}
    asking = {
        path
        for handler in app._ROUTES
        for path in handler.paths
        if codes
        & set(", ".join(str(r.description) for r in (handler.responses or {}).values()).split(", "))
    }
    assert {"/auth/login", "/auth/refresh"} <= asking
    missing = asking - set(outcomes._DOORS)
    assert not missing, "add a row to service/web/metrics/outcomes.py, and to docs/deploy/README.md"


def value(name: str, **labels: str) -> float:
    found = REGISTRY.get_sample_value(f"openshow_{name}", labels)
    assert found is not None
    return found


def test_figures_are_brought_over() -> None:
    """What the parts say is what is told, and each reply is counted once, however often we look."""
    readiness = Readiness(Part(True, "A."), Part(False, "B."), Part(True, "C."), clock_part(-7.25))
    times = ReplyTimes()
    sources = Sources("1.2.3", lambda: (3, 2), lambda: {"data": 7.5}, lambda: readiness)
    gauges = Gauges(sources, times)
    gauges.look()
    assert value("build_info", version="1.2.3", python=platform.python_version()) == 1
    assert (value("hashes_waiting"), value("hashes_running")) == (3, 2)
    assert (value("ready", part="redis"), value("ready", part="users")) == (1, 0)
    assert value("clock_skew_seconds") == -7.25
    assert value("key_age_seconds", key="data") == 7.5

    def told() -> tuple[float, ...]:
        within = [value("redis_reply_seconds_bucket", le=le) for le in ("0.00025", "0.01", "+Inf")]
        sums = value("redis_reply_seconds_sum"), value("redis_reply_seconds_count")
        return *within, *sums

    before = told()
    for seconds in (0.0001, 0.00025, 0.007, 0.3, 5.0):
        times.add(seconds)
    for _ in range(3):
        gauges.look()
    grown = [now - then for now, then in zip(told(), before, strict=True)]
    assert grown == pytest.approx([2, 3, 5, 5.30735, 5])
