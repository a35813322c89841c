"""What the app loads when it is put together, and what not."""

from litestar import Litestar

from service.web.application import Application


def test_nothing_is_loaded_for_other_libraries() -> None:
    """Pydantic and attrs are installed beside the tests; a start need not load them."""
    assert _for_others(Application([], openapi_config=None, logging_config=None)) == set()
    assert _for_others(Litestar([], openapi_config=None, logging_config=None))


def _for_others(app: Litestar) -> set[str]:
    modules = {type(plugin).__module__ for plugin in app.plugins}
    others = "litestar.plugins.pydantic", "litestar.plugins.attrs"
    return {name for name in modules if name.startswith(others)}
