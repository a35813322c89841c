from service.keyspace.link import Link
from service.keyspace.server import check_server, inspect_server

open_redis = Link
__all__ = ["check_server", "inspect_server", "open_redis"]
