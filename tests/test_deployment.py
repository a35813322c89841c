"""docs/deploy: what the example for Kubernetes names is real, and the service runs with it."""

import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # a dependency of Litestar
from tools.testbed.postgresql import PostgresServer
from tools.testbed.redis_server import REPOSITORY
from tools.testbed.sentinel import SentinelTrio
from tools.testbed.service_process import PASSWORD, claims_of
from tools.testbed.waiting import PATIENCE, wait_until

from service.cli import program as cli
from service.errors import SettingsError
from service.serving.server import LONGEST_STOP
from service.settings import Settings

DEPLOY = REPOSITORY / "docs/deploy"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text(encoding="utf-8")


def objects(file: str) -> dict[str, Any]:
    """The Kubernetes objects of a file, by kind."""
    documents = yaml.safe_load_all((DEPLOY / file).read_text(encoding="utf-8"))
    return {document["kind"]: document for document in documents}


MANIFEST = objects("kubernetes.yaml")
DEPLOYMENT = MANIFEST["Deployment"]["spec"]
POD = DEPLOYMENT["template"]["spec"]
(CONTAINER,) = POD["containers"]
ENVIRONMENT = {variable["name"]: variable["value"] for variable in CONTAINER["env"]}
SECRET = MANIFEST["Secret"]["stringData"]
PROBES = {
    name: CONTAINER[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")
}


INGRESS = "10.0.3.0/28"
"""What whoever deploys puts in the place of the placeholder."""


def translated(directory: Path) -> dict[str, str]:
    """The environment of the pod with its mounted secret in this directory, and on loopback."""
    (mount,) = (m["mountPath"] for m in CONTAINER["volumeMounts"] if m["name"] == "secrets")
    moved = {name: value.replace(mount, str(directory)) for name, value in ENVIRONMENT.items()}
    ours = {"SERVICE_HOST": "127.0.0.1", "SERVICE_PORT": "0", "SERVICE_TRUSTED_PROXIES": INGRESS}
    return moved | ours | {"SERVICE_OPERATIONS_BIND": "127.0.0.1:0"}


def keep_secrets(directory: Path, **texts: str) -> None:
    """Write what the Secret holds, with these texts, as it is mounted."""
    assert set(texts) == {name.replace("-", "_").replace(".", "_") for name in SECRET}
    for name in SECRET:
        file = directory / name
        file.write_text(texts[name.replace("-", "_").replace(".", "_")])
        file.chmod(0o400)


def new_key_file() -> str:
    """A key file, made as docs/settings.md says."""
    page = (REPOSITORY / "docs/settings.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"```sh\n(.*?local\.keys)\n```", page, re.DOTALL)
    recipe = recipe.replace(">local.keys", "")
    return subprocess.run(["sh", "-c", recipe], capture_output=True, text=True, check=True).stdout


def test_every_replica_is_waited_for() -> None:
    """Under Sentinels any may be promoted: as many acknowledgements as the README names replicas.

    With one of two, `docs/chaos.md` loses revocations (`one-of-two`).
    """
    page = (DEPLOY / "README.md").read_text(encoding="utf-8")
    (number,) = re.findall(r"durability and (\w+) replicas", page)
    replicas = {"one": 1, "two": 2, "three": 3}[number]
    assert SECRET["redis-url"].startswith(("redis+sentinel://", "rediss+sentinel://"))
    assert int(ENVIRONMENT["SERVICE_REDIS_MIN_REPLICAS"]) >= replicas


def test_every_variable_is_a_setting(tmp_path: Path) -> None:
    """All of them are known and have good values; none of the three URLs and keys is in them."""
    keep_secrets(
        tmp_path, redis_url=SECRET["redis-url"], database_url=SECRET["database-url"],
        local_keys=SECRET["local.keys"],
    )  # fmt: skip
    settings = Settings.from_environment(translated(tmp_path))
    assert settings.redis_url
    assert settings.database_url
    assert not settings.keeps_files
    assert settings.env == "production"
    assert "PASSWORD" not in str(ENVIRONMENT)


def test_the_placeholder_of_the_key_opens_nothing() -> None:
    """Who forgets to replace it gets no service whose keys everybody knows."""
    title, key = SECRET["local.keys"].splitlines()
    assert new_key_file().splitlines()[0] == title
    assert key == "KEY"


def test_only_the_ingress_is_believed(tmp_path: Path) -> None:
    """Who forgets to name it gets no service, not one that believes every pod of the cluster."""
    keep_secrets(
        tmp_path, redis_url=SECRET["redis-url"], database_url=SECRET["database-url"],
        local_keys=SECRET["local.keys"],
    )  # fmt: skip
    placeholder = ENVIRONMENT["SERVICE_TRUSTED_PROXIES"]
    environment = translated(tmp_path) | {"SERVICE_TRUSTED_PROXIES": placeholder}
    with pytest.raises(SettingsError, match="SERVICE_TRUSTED_PROXIES"):
        Settings.from_environment(environment)
    ingress = MANIFEST["NetworkPolicy"]["spec"]["ingress"][0]["from"][0]
    assert ingress["podSelector"]["matchLabels"]


def test_the_build_takes_hashed_wheels_only() -> None:
    """Each install checks hashes, or takes nothing from outside; build tools are pinned too."""
    installs = re.findall(r"pip (?:install|wheel) .*?(?=&&|\n|\\)", CONTAINERFILE)
    assert len(installs) == 4
    for command in installs:
        files = re.findall(r"-r (\S+)", command)
        if not files:
            assert "--no-index" in command, command
            continue
        assert {"--require-hashes", "--no-deps", "--only-binary"} <= set(command.split())
        for file in files:
            text = (REPOSITORY / "scripts/requirements" / file).read_text()
            pins = re.findall(r"^[\w.-]+(?:\[.*?\])?==", text, re.MULTILINE)
            assert pins
            assert len(pins) == len(
                re.findall(r"^[\w.-]+.*==.*\\\n    --hash=", text, re.MULTILINE)
            )
    assert "--no-build-isolation" in CONTAINERFILE
    assert re.findall(r"^FROM (\S+)", CONTAINERFILE, re.MULTILINE) == ["${PYTHON}"] * 2


def test_the_image_has_all_key_services() -> None:
    """What SERVICE_KMS offers can be chosen without another image."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    locked = (REPOSITORY / "scripts/requirements/image.txt").read_text()
    build = (REPOSITORY / "scripts/requirements/build.txt").read_text()
    for needed in (project["dependencies"], extras["aws"], extras["vault"], extras["pkcs11"]):
        for requirement in needed:
            (name,) = re.findall(r"^[\w-]+", requirement)
            assert re.search(rf"^{name}==", locked, re.MULTILINE), name
    assert re.search(r"^hatchling==", build, re.MULTILINE)


def test_no_keys_go_into_the_build() -> None:
    """.dockerignore leaves out all but what is copied; var/ and .git above all."""
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.*)$", CONTAINERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert all(any(f"{source}/".startswith(f"{name}/") for name in kept) for source in copied)
    assert not kept & {"var", ".git", ".venv", "."}
    last = max(rules.index(f"!{name}") for name in kept)
    assert {"**/var", "**/*.keys"} <= set(rules[last:])


def test_the_command_is_ours() -> None:
    """The program of the package, with arguments that it takes; the image has the same."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    (program,) = CONTAINER["command"]
    assert project["scripts"][program] == "service.cli.program:main"
    assert cli._parser().parse_args(CONTAINER["args"]).run is cli._serve
    assert f'ENTRYPOINT ["{program}"]\nCMD ["serve"]\n' in CONTAINERFILE
    assert CONTAINER["image"] == f"{program}:{project['version']}"


def test_the_image_is_made_of_what_there_is() -> None:
    """Each file that is copied exists, and the user is the one of the pod."""
    for line in re.findall(r"^COPY (?!--from)(.*)$", CONTAINERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (REPOSITORY / source).exists(), source
    user, group = re.findall(r"^USER (\d+):(\d+)$", CONTAINERFILE, re.MULTILINE)[0]
    security = POD["securityContext"]
    assert (int(user), int(group)) == (security["runAsUser"], security["runAsGroup"])
    assert security["runAsUser"] != 0


def test_there_is_time_to_drain() -> None:
    """Kubernetes kills a pod no sooner than it has ended by itself, however slowly."""
    drain = int(ENVIRONMENT["SERVICE_DRAIN_DELAY"]) + LONGEST_STOP
    assert POD["terminationGracePeriodSeconds"] > drain + 5


def test_ports_and_labels_fit_together() -> None:
    """Service, budget, policy and spread all mean this pod and this port."""
    (port,) = CONTAINER["ports"]
    assert str(port["containerPort"]) == ENVIRONMENT["SERVICE_PORT"]
    assert MANIFEST["Service"]["spec"]["ports"][0]["targetPort"] == port["name"]
    assert {probe["port"] for probe in PROBES.values()} == {port["name"]}
    policy = MANIFEST["NetworkPolicy"]["spec"]
    assert policy["ingress"][0]["ports"] == [{"port": port["name"]}]
    [operations] = policy["ingress"][1]["ports"]
    assert ENVIRONMENT["SERVICE_OPERATIONS_BIND"] == f"0.0.0.0:{operations['port']}"
    labels = DEPLOYMENT["template"]["metadata"]["labels"]
    assert MANIFEST["Service"]["spec"]["selector"] == labels
    selectors = [
        DEPLOYMENT["selector"],
        MANIFEST["PodDisruptionBudget"]["spec"]["selector"],
        policy["podSelector"],
        *(spread["labelSelector"] for spread in POD["topologySpreadConstraints"]),
    ]
    assert all(selector == {"matchLabels": labels} for selector in selectors)
    target = objects("autoscaling.yaml")["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    named = (target["apiVersion"], target["kind"], target["name"])
    deployment = MANIFEST["Deployment"]
    assert named == (deployment["apiVersion"], "Deployment", deployment["metadata"]["name"])


def test_volumes_are_those_that_are_mounted() -> None:
    """The secret as the pod's group may read it, and nothing that outlives the pod."""
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    assert set(volumes) == {mount["name"] for mount in CONTAINER["volumeMounts"]}
    secret = volumes["secrets"]["secret"]
    assert secret["secretName"] == MANIFEST["Secret"]["metadata"]["name"]
    assert secret["defaultMode"] == 0o440
    assert "emptyDir" in volumes["tmp"]
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"] is True


class Pod:
    """The container's process, as far as it can be one here: its directories are empty."""

    def __init__(self, directory: Path, secrets: Path) -> None:
        self.root, self.tmp = directory / "root", directory / "tmp"
        self.root.mkdir()
        self.tmp.mkdir()
        self._log = directory / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service", *CONTAINER["args"]],
                cwd=self.root,
                env={
                    "PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY),
                    "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1",
                    "HOME": str(self.root), "TMPDIR": str(self.tmp),
                    **translated(secrets),
                },
                stdout=log,
                stderr=subprocess.STDOUT,
            )  # fmt: skip

    def url(self) -> str:
        """Where it serves, once it does."""
        wait_until(lambda: self._found() or self.process.poll() is not None, 4 * PATIENCE)
        found = self._found()
        assert found, self._log.read_text()
        return found[0]

    def _found(self) -> re.Match[str] | None:
        return re.search(r"http://127\.0\.0\.1:\d+", self._log.read_text())


@pytest.fixture
def pod(postgres: PostgresServer, tmp_path: Path) -> Iterator[Pod]:
    """A pod on three Sentinels with two replicas, and on PostgreSQL."""
    for name in ("redis", "secrets", "pod"):
        (tmp_path / name).mkdir()
    trio = SentinelTrio(tmp_path / "redis").start()
    with postgres.database(migrated=False) as database:
        keep_secrets(
            tmp_path / "secrets", redis_url=trio.url.reveal(), database_url=postgres.url(database),
            local_keys=new_key_file(),
        )  # fmt: skip
        pod = Pod(tmp_path / "pod", tmp_path / "secrets")
        yield pod
        if pod.process.poll() is None:
            pod.process.kill()
            pod.process.wait()
    trio.stop()


def test_it_runs_with_just_that(pod: Pod) -> None:
    """All probes pass, it serves, ends in time, and leaves nothing where it could not write."""
    with httpx.Client(base_url=pod.url(), timeout=30) as client:
        for probe in PROBES.values():
            path = probe["path"]
            wait_until(lambda path=path: client.get(path).status_code == 200)
        wait_until(lambda: client.get("/health/ready").json()["redis"]["ok"])
        assert client.get("/metrics").status_code == 404
        body = {"email": "ada@example.org", "password": PASSWORD}
        answer = client.post("/auth/signup", json=body)
        assert answer.status_code == 201, answer.text
        tokens = answer.json()
        assert claims_of(tokens["accessToken"])["iss"] == ENVIRONMENT["SERVICE_ISSUER"]
        bearer = {"Authorization": f"Bearer {tokens['accessToken']}"}
        body = {"refreshToken": tokens["refreshToken"]}
        assert client.post("/auth/logout", json=body, headers=bearer).status_code == 204
        pod.process.send_signal(signal.SIGTERM)
        path = PROBES["readinessProbe"]["path"]
        wait_until(lambda: client.get(path).status_code == 503)
        assert client.get(PROBES["livenessProbe"]["path"]).status_code == 200
    assert pod.process.wait(POD["terminationGracePeriodSeconds"]) == 0
    assert list(pod.root.iterdir()) == []
    assert list(pod.tmp.iterdir()) == []
