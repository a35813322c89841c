"""What a command of operators works on: stores, keys if it needs them, and what was asked for."""

import argparse
import os
import secrets
import sys

from sqlalchemy.ext.asyncio import AsyncEngine

from service.accounts.user_rows import User
from service.cli import account_texts as texts
from service.clock import system_clock
from service.composition.operators import create_operations
from service.errors import KeyRefused
from service.keyring.keys import KeysInUse, ServiceKeys
from service.keyring.kms.selection import open_key_services
from service.keyring.records import KeyLives
from service.keyring.signing import SigningKeys
from service.keyring.store import KeyStore
from service.operators.operations import Operations
from service.operators.request import CLI, OperatorRequest
from service.redis.client import RedisClient
from service.sessions.origin import RequestOrigin
from service.settings import Settings


class AccountCommand:
    """One command: what it works on, and what was asked for."""

    def __init__(
        self,
        settings: Settings,
        options: argparse.Namespace,
        engine: AsyncEngine,
        redis: RedisClient,
    ) -> None:
        """Open nothing yet."""
        self.settings = settings
        self.options = options
        self.keys = KeysInUse(ServiceKeys.closed(SigningKeys.public_only([])))
        self.engine = engine
        self.does: Operations = create_operations(settings, redis, engine, self.keys)
        origin = RequestOrigin(None, "", secrets.token_hex(16))
        self.request = OperatorRequest(CLI, getattr(options, "reason", None) or "", origin)

    async def user(self) -> User:
        """Find the account that was named."""
        return await self.does.lookup.find(self.options.user)

    async def open_keys(self) -> None:
        """Open the keys of the service. Never makes any: that is for the first start."""
        store = KeyStore(self.engine)
        if not (await store.read()).data_keys:
            raise KeyRefused("this database has no keys yet: start the service once")
        services = open_key_services(self.settings, os.environ)
        opened = await store.open(services, system_clock, make=False)
        settings = self.settings
        lives = KeyLives(access=settings.access_ttl, refresh=settings.mac_keys_matter)
        self.keys.replace(opened.at(system_clock(), lives))

    def tell(self, document: object, *lines: str) -> int:
        """Print the document or the lines, as was asked for. Return the exit code."""
        print(texts.as_json(document) if self.options.json else "\n".join(lines))
        return 0

    def remark(self, line: str) -> None:
        """Tell people something on stderr, beside what is printed for a program to take."""
        if not self.options.json:
            print(line, file=sys.stderr)

    def dry_run(self, document: dict[str, object], line: str) -> int:
        """Print what would be done with --yes."""
        return self.tell({**document, "dryRun": True}, f"Nothing was changed; with --yes, {line}.")
