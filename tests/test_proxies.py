"""The proxies of docs/deploy: each before two pods, its file as it is but for the addresses."""

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tools.testbed.ports import free_port
from tools.testbed.redis_server import REPOSITORY, RedisServer, available
from tools.testbed.service_process import PASSWORD, PATIENT, ServiceProcess
from tools.testbed.waiting import wait_until

DEPLOY = REPOSITORY / "docs/deploy"
MODULES = "/usr/lib/apache2/modules"
FOR_APACHE = (
    "mpm_event authz_core headers proxy proxy_http proxy_balancer proxy_hcheck watchdog "
    "lbmethod_byrequests slotmem_shm"
)
CLAIMED, CLIENT = "198.51.100.77", "127.0.0.2"

FILES = {
    "nginx": "nginx.conf",
    "haproxy": "haproxy.cfg",
    "apache": "apache.conf",
    "caddy": "Caddyfile",
}

Proxy = Callable[[str, "list[ServiceProcess]"], str]


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ServiceProcess]]:
    """Two on one Redis, which believe a proxy on this machine and drain for four seconds."""
    directories = [tmp_path_factory.mktemp(name) for name in ("redis", "first", "second")]
    server = RedisServer(available()["valkey"], directories[0]).start()
    settings = {
        "SERVICE_TRUSTED_PROXIES": "127.0.0.1/32",
        "SERVICE_DRAIN_DELAY": "4",
        "SERVICE_COOKIES": "on",
    }
    first = ServiceProcess(directories[1], server.url, **settings, **PATIENT).start()
    second = first.beside(directories[2], **settings).start()
    yield [first, second]
    for pod in (first, second):
        pod.stop()
    server.stop()


def command(kind: str, directory: Path, ports: list[str], port: int) -> list[str]:
    """Write the configuration, and how to run the proxy in the foreground."""
    name = FILES[kind]
    text = (DEPLOY / name).read_text(encoding="utf-8")
    for written, actual in zip(("127.0.0.1:8001", "127.0.0.1:8002"), ports, strict=True):
        assert written in text
        text = text.replace(written, actual)
    text = text.replace("127.0.0.1:8443", f"127.0.0.1:{port}")
    file = directory / name
    if kind == "nginx":
        file.write_text(text.replace("http {", "http {\naccess_log off;", 1))
        directives = f"daemon off; pid {directory}/pid; error_log {directory}/error.log;"
        return ["nginx", "-p", str(directory), "-c", str(file), "-g", directives]
    if kind == "haproxy":
        limit = "timeout connect 1s"
        assert limit in text
        patient = "timeout connect 20s\n    timeout check 20s"  # else a pod that is starved is down
        file.write_text(text.replace(limit, patient, 1))
        return ["haproxy", "-db", "-f", str(file)]
    if kind == "caddy":
        assert "\nauth.example.com {" in text
        text = text.replace("\nauth.example.com {", f"\nhttp://127.0.0.1:{port} {{")
        file.write_text("{\n\tadmin off\n}\n" + text)
        return ["caddy", "run", "--adapter", "caddyfile", "--config", str(file)]
    files = {m: Path(MODULES) / f"mod_{m}.so" for m in FOR_APACHE.split()}  # others are built in
    modules = [f"LoadModule {m}_module {file}" for m, file in files.items() if file.exists()]
    own = ["ServerName localhost", f"PidFile {directory}/pid", f"ErrorLog {directory}/error.log"]
    run = [f"DefaultRuntimeDir {directory}", "User www-data", "Group www-data"]
    file.write_text("\n".join([*modules, *own, *run, text]))
    return ["apache2", "-DFOREGROUND", "-d", str(directory), "-f", str(file)]


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """Start a proxy before these pods; its URL, once it sends calls on."""
    started: list[subprocess.Popen[bytes]] = []

    def start(kind: str, pods: list[ServiceProcess]) -> str:
        binary = {"apache": "apache2"}.get(kind, kind)
        path = f"{os.environ['PATH']}:/usr/sbin"
        if not shutil.which(binary, path=path):
            missing = pytest.fail if os.environ.get("CI") else pytest.skip
            missing(f"{binary} is not installed")
        port = free_port()
        ports = [pod.url.removeprefix("http://") for pod in pods]
        log = (tmp_path / "log").open("wb")
        with log:
            process = subprocess.Popen(
                command(kind, tmp_path, ports, port),
                env=os.environ | {"PATH": path, "HOME": str(tmp_path)},
                stdout=log,
                stderr=log,
            )
        started.append(process)
        url = f"http://127.0.0.1:{port}"

        def serves() -> bool:
            assert process.poll() is None, (tmp_path / "log").read_text()
            try:
                return httpx.get(f"{url}/.well-known/jwks.json").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(serves)
        return url

    yield start
    for process in started:
        process.terminate()
        process.wait(20)


def sign_up(client: httpx.Client, email: str) -> dict[str, str]:
    """The headers of somebody who claims to come from elsewhere."""
    claims = {"X-Forwarded-For": CLAIMED}
    body = {"email": email, "password": PASSWORD}
    answer = client.post("/auth/signup", json=body, headers=claims)
    assert answer.status_code == 201, answer.text
    return {"Authorization": f"Bearer {answer.json()['accessToken']}"}


def keeps_cookies(client: httpx.Client, email: str) -> None:
    """Host and scheme arrive as the browser sees them, so that its cookie counts for this origin.

    What the browser claims of the scheme is replaced.
    """
    login = {"email": email, "password": PASSWORD}
    claims = {"X-Session-Mode": "cookie", "X-Forwarded-Proto": "https"}
    answer = client.post("/auth/login", json=login, headers=claims)
    assert answer.headers["set-cookie"].startswith("openshow_refresh=osr_"), answer.headers
    port = client.base_url.port
    for origin, status in (
        (f"https://127.0.0.1:{port}", 403),
        ("http://127.0.0.1", 403),
        (f"http://127.0.0.1:{port}", 200),
    ):
        headers = {"Origin": origin, "X-Forwarded-Proto": "https"}
        assert client.post("/auth/refresh", headers=headers).status_code == status, origin
    client.cookies.clear()


@pytest.mark.parametrize("kind", FILES)
def test_no_call_fails_while_a_pod_ends(
    proxy: Proxy, pods: list[ServiceProcess], kind: str
) -> None:
    """The proxy's word about the client counts, insiders' addresses stay inside, and a pod that is
    told to stop is drained without one error. Then the other pod serves all.
    """
    transport = httpx.HTTPTransport(local_address=CLIENT)  # not the proxy's own, which is believed
    with httpx.Client(base_url=proxy(kind, pods), transport=transport, timeout=20) as client:
        headers = sign_up(client, f"{kind}@example.org")
        [session] = client.get("/auth/sessions", headers=headers).json()["sessions"]
        assert session["ipAddress"] == CLIENT
        for path in ("/metrics", "/schema", "/health/live", "/health/ready"):
            assert client.get(path).status_code in (403, 404), path
        keeps_cookies(client, f"{kind}@example.org")
        ended = threading.Event()
        thread = threading.Thread(target=lambda: (pods[0].stop(), ended.set()))
        thread.start()
        statuses = []
        while not ended.is_set() or len(statuses) < 50:
            statuses.append(client.get("/auth/me", headers=headers).status_code)
            statuses.append(client.post("/auth/logout", json={}, headers=headers).status_code)
            time.sleep(0.01)  # a client, not a flood
        thread.join()
        statuses += [client.get("/auth/me", headers=headers).status_code for _ in range(20)]
    assert set(statuses) == {200, 400}, statuses
    pods[0].start()


def test_the_proxies_pass_on_no_more() -> None:
    """Each file names the same three beginnings; none repeats what may have been carried out."""
    for name in FILES.values():
        text = (DEPLOY / name).read_text(encoding="utf-8")
        for path in ("auth", "account", "well-known"):
            assert re.search(path, text), (name, path)
        rules = [line.split("#")[0] for line in text.splitlines()]
        for wrong in ("non_idempotent", "all-retryable-errors", "metrics", "schema"):
            assert not any(wrong in rule for rule in rules), (name, wrong)
    assert "health_uri /health/ready" in (DEPLOY / "Caddyfile").read_text(encoding="utf-8")
