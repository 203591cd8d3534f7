"""TLS to Redis: redis-py's own connection, with an SSL context that is made once and not for each connection.

redis-py (5.1 to 8.1, ``SSLConnection._wrap_socket_with_ssl``) begins each connection with
``ssl.create_default_context()``, which reads the system's CAs although another CA is given.
"""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path
from socket import socket
from typing import Any

from redis.connection import SSLConnection


class TlsConnection(SSLConnection):
    """A connection that takes redis-py's ``ssl_…`` options; where a CA is given, it is the only one trusted."""

    def context(self) -> ssl.SSLContext:
        """Return the context of these options, a new one where a file has changed: a sweeper outlives certificates.

        :raises OSError: a file is not there, or not what it should be.
        """
        files = tuple(
            (name, Path(name).stat().st_mtime_ns) for name in (self.certfile, self.keyfile, self.ca_certs) if name
        )
        return _context(
            files,
            self.certfile,
            self.keyfile,
            self.certificate_password,
            self.cert_reqs,
            self.check_hostname and self.cert_reqs != ssl.CERT_NONE,
            self.ca_certs,
            self.ca_path,
            self.ca_data,
            # redis-py 5.1 and 6.4 have none.
            tuple(getattr(self, "ssl_include_verify_flags", None) or ()),
            tuple(getattr(self, "ssl_exclude_verify_flags", None) or ()),
            self.ssl_min_version,
            self.ssl_ciphers,
        )

    def _wrap_socket_with_ssl(self, sock: socket) -> Any:
        if self.ssl_validate_ocsp or self.ssl_validate_ocsp_stapled:
            return super()._wrap_socket_with_ssl(sock)  # type: ignore[no-untyped-call]
        return self.context().wrap_socket(sock, server_hostname=self.host)


@lru_cache(maxsize=8)
def _context(
    files: tuple[tuple[str, int], ...],
    certfile: str | None,
    keyfile: str | None,
    password: str | None,
    cert_reqs: ssl.VerifyMode,
    check_hostname: bool,
    ca_certs: str | None,
    ca_path: str | None,
    ca_data: str | bytes | None,
    include: tuple[ssl.VerifyFlags, ...],
    exclude: tuple[ssl.VerifyFlags, ...],
    min_version: int | str | None,
    ciphers: str | None,
) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_certs, capath=ca_path, cadata=ca_data)
    context.check_hostname = check_hostname
    context.verify_mode = cert_reqs
    for flag in include:
        context.verify_flags |= flag
    for flag in exclude:
        context.verify_flags &= ~flag
    if certfile or keyfile:
        context.load_cert_chain(certfile or "", keyfile, password)
    if min_version is not None:
        context.minimum_version = ssl.TLSVersion(int(min_version))  # redis-py 5 leaves it a text
    if ciphers:
        context.set_ciphers(ciphers)
    return context
