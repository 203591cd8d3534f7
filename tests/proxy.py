"""A TCP proxy that loses replies: the server has acted, and the client never hears of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from select import select
from urllib.parse import urlsplit


class LosingProxy:
    """Stands before a server, and cuts the connection in place of the next reply to what holds ``marker``."""

    def __init__(self, url: str, marker: bytes) -> None:
        target = urlsplit(url)
        self._target = (target.hostname, target.port)
        self._marker = marker
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self.to_lose = 0
        self.lost = 0

    def serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        request = b""
        with client, socket.create_connection(self._target) as server:
            while True:
                for ready in select([client, server], [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    if ready is client:
                        request += data
                        server.sendall(data)
                    elif self._marker in request and self.lost < self.to_lose:
                        self.lost += 1
                        return
                    else:
                        request = b""
                        client.sendall(data)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def losing_proxy(url: str, marker: bytes) -> Iterator[LosingProxy]:
    """Run a proxy before the server at ``url``; set its ``to_lose`` to how many replies are to be lost."""
    proxy = LosingProxy(url, marker)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
