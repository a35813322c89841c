"""Serves the WSGI app of a module on a port of loopback, which it prints."""

import importlib
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server


class Quiet(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


server = make_server("127.0.0.1", 0, importlib.import_module(sys.argv[1]).app, handler_class=Quiet)
print(server.server_port, flush=True)
server.serve_forever()
