"""Libraries that know OAuth use the service as they find it, without a workaround."""

import json
from pathlib import Path

import httpx
from tools.testbed.access import SERVICE
from tools.testbed.ports import free_port
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD, PATIENT, ServiceProcess

from tests.support.looking import ON_VALKEY
from tests.support.node import install_packages, run_node


@ON_VALKEY
def test_openid_client_and_oauth4webapi(keys: RedisServer, tmp_path: Path) -> None:
    """They find it by its issuer, and understand what it says of tokens, keys and ends."""
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    service = ServiceProcess(
        tmp_path, keys.url_of(SERVICE), SERVICE_PORT=str(port), SERVICE_ISSUER=issuer, **PATIENT
    ).start()
    try:
        made = json.loads(
            service.command("api-keys", "create", "a test", "--scopes", "introspect", "--json")
        )
        credentials = {"email": "ann@example.com", "password": PASSWORD}
        ann = httpx.post(f"{issuer}/auth/signup", json=credentials).raise_for_status().json()
        folder = install_packages().parent
        told = json.loads(
            run_node(
                str(folder / "oauth_clients.mjs"),
                issuer, made["key"], ann["accessToken"], ann["refreshToken"],
            )
        )  # fmt: skip
    finally:
        service.stop()
    assert told["issuer"] == issuer
    assert told["sameMetadata"]
    assert told["access"] == told["sameAnswer"]
    for name, kind in (("access", "Bearer"), ("refresh", "refresh_token")):
        said = told[name]
        assert (said["active"], said["sub"]) == (True, ann["user"]["id"])
        assert said["token_type"] == kind
    assert told["junk"] == told["afterRevocation"] == {"active": False}
    [challenge] = told["wrongKey"]["challenges"]
    assert challenge["parameters"]["error"] == "invalid_token"
    assert told["revokedAgain"]
