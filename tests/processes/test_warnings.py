"""What libraries warn of is no surprise of their next version."""

from collections.abc import Callable
from pathlib import Path

import httpx

from tests.processes.program import Program


def test_warnings_are_errors(start: Callable[..., Program], tmp_path: Path) -> None:
    """With Python told so, the service starts, serves all kinds of calls, and ends in order."""
    program = start(
        PYTHONWARNINGS="error",
        SERVICE_PAGES="on",
        SERVICE_ADMIN_BIND=f"unix:{tmp_path}/admin.sock",
        SERVICE_MAIL_URL=f"file://{tmp_path}/mails",
        SERVICE_MAIL_FROM="service@example.com",
    )
    with program.client() as client:
        person = {"email": "ada@example.com", "password": "correct horse battery"}
        tokens = client.post("/auth/signup", json=person).raise_for_status().json()
        bearer = {"Authorization": f"Bearer {tokens['accessToken']}"}
        for path in ("/health/ready", "/metrics", "/account", "/schema/openapi.json"):
            answer = client.get(path)
            assert answer.status_code == 200, program.output[-3000:]
        for path in ("/auth/me", "/auth/sessions"):
            client.get(path, headers=bearer).raise_for_status()
        client.post("/auth/2fa/enable", headers=bearer).raise_for_status()
        spent = {"refreshToken": tokens["refreshToken"]}
        client.post("/auth/refresh", json=spent).raise_for_status()
        client.post("/auth/login", json=person).raise_for_status()
        assert client.post("/auth/logout", json=spent, headers=bearer).status_code == 204
    operators = httpx.HTTPTransport(uds=f"{tmp_path}/admin.sock")
    with httpx.Client(transport=operators, base_url="http://operators") as client:
        assert client.get("/schema/openapi.json").status_code == 200, program.output[-3000:]
        assert client.get(f"/admin/users/{'0' * 32}").status_code == 401
    assert program.stop() == 0
    assert "Warning" not in program.output
    assert "Traceback" not in program.output
