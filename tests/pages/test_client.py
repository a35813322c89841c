"""The client for browsers and Node: what it does, how large it is, and whether its types hold."""

import gzip
import json
from pathlib import Path

import pytest
from tools.client_types.generation import FILE, generate
from tools.testbed.redis_server import REPOSITORY
from tools.testbed.service_process import ServiceProcess

from tests.pages.conftest import ROOT
from tests.support.node import install_packages, run_node

CLIENT = REPOSITORY / "service/web/pages/client"

USE = """
import { AuthClient, AuthError } from "openshow-auth";
import type { Challenge, Session, SignedIn } from "openshow-auth";

const auth = new AuthClient({ url: "https://auth.example", mode: "cookie" });
const outcome: SignedIn | Challenge = await auth.logIn({ email: "a@b.example", password: "x" });
if ("challengeId" in outcome) {
  await auth.secondStep({ challengeId: outcome.challengeId, code: "123456" });
} else {
  const id: string = outcome.user.id;
  // @ts-expect-error there is no such field
  outcome.user.name;
}
const { body } = await auth.callSignedIn("GET", "/auth/sessions");
const sessions: Session[] = body.sessions;
await auth.callSignedIn("POST", "/auth/logout/all", { keepCurrent: true });
// @ts-expect-error no such call
await auth.callSignedIn("GET", "/auth/nothing");
// @ts-expect-error not with this method
await auth.callSignedIn("DELETE", "/auth/sessions");
// @ts-expect-error a field of another type
await auth.callSignedIn("POST", "/auth/logout/all", { keepCurrent: "yes" });
const code: string = new AuthError(0, { code: "a" }).code;
"""


def test_in_node(pages: ServiceProcess) -> None:
    """Node's own tests of it, against the service."""
    told = run_node("--test", "tests/pages/client.test.mjs", SERVICE_URL=pages.url + ROOT)
    assert "fail 0" in told


def test_it_is_small_and_alone() -> None:
    """Under 4 kB compressed, with nothing that it needs, and all that its package names."""
    client = (CLIENT / "client.js").read_bytes()
    assert len(gzip.compress(client, 9)) < 4096
    assert b"import" not in client
    package = json.loads((CLIENT / "package.json").read_text())
    assert not {"dependencies", "peerDependencies"} & set(package)
    assert {*package["files"], "package.json"} == {path.name for path in CLIENT.iterdir()}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Litestar, of its next version
def test_the_types_are_current() -> None:
    """What scripts/client-types would write is what is there."""
    assert FILE.read_text(encoding="utf-8") == generate()


def test_the_types_are_right(tmp_path: Path) -> None:
    """An app that has installed the folder compiles, and its mistakes are found."""
    modules = install_packages()
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules/openshow-auth").symlink_to(CLIENT)
    (tmp_path / "app.mts").write_text(USE)
    compiler = str(modules / "typescript/bin/tsc")
    options = "--noEmit --strict --module nodenext --target es2022 --lib es2022,dom --skipLibCheck"
    run_node(compiler, *options.split(), "--preserveSymlinks", "app.mts", cwd=tmp_path)
