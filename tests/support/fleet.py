"""Three service processes on one Redis and one user store, behind what a load balancer does."""

from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import httpx
from tools.testbed.service_process import PATIENT, ServiceProcess

from service.settings import Secret


class Fleet:
    """Three pods that differ in nothing but their port."""

    def __init__(self, directory: Path, redis_url: Secret, **settings: str | None) -> None:
        """`directory` is there; so need not be what the pods keep in it. Nobody empties Redis."""
        settings.setdefault("SERVICE_DATA_DIR", str(directory / "var"))
        settings.setdefault("SERVICE_REDIS_ROLLBACK", None)
        patience = "SERVICE_DATABASE_TIMEOUT_MS"  # with the user store, which nobody takes away
        settings.setdefault(patience, PATIENT[patience])
        self.pods = []
        for number in range(3):
            own = directory / f"pod-{number}"
            own.mkdir()
            self.pods.append(ServiceProcess(own, redis_url, **settings))

    def start(self) -> "Fleet":
        """Start all at once, as a deployment does, and wait until each answers."""
        with ThreadPoolExecutor(len(self.pods)) as threads:
            list(threads.map(ServiceProcess.start, self.pods))
        return self

    def stop(self) -> None:
        """Stop them all in good order."""
        with ThreadPoolExecutor(len(self.pods)) as threads:
            assert list(threads.map(ServiceProcess.stop, self.pods)) == [0] * len(self.pods)

    def client(self, *, timeout: float = 10) -> httpx.AsyncClient:
        """A client that asks each pod in turn."""
        return client_of(*self.pods, timeout=timeout)


def client_of(*pods: ServiceProcess, timeout: float = 10) -> httpx.AsyncClient:
    """A client that asks each of `pods` in turn. `timeout` is in seconds."""
    return httpx.AsyncClient(
        base_url=pods[0].url, transport=_InTurn([pod.url for pod in pods]), timeout=timeout
    )


class _InTurn(httpx.AsyncBaseTransport):
    def __init__(self, urls: list[str]) -> None:
        self._urls = cycle([httpx.URL(url) for url in urls])
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
        self._transport = httpx.AsyncHTTPTransport(limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        pod = next(self._urls)
        request.url = request.url.copy_with(host=pod.host, port=pod.port)
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        await self._transport.aclose()
