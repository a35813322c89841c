"""Litestar, without what it loads for other libraries."""

from litestar import Litestar
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin


class Application(Litestar):
    """An app whose bodies are msgspec structs, and of no other library.

    Where Pydantic or attrs happen to be installed, Litestar loads them at every start, which takes
    longer than all of our routes, and asks them about each type.
    """

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]
