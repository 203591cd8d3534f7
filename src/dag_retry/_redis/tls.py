"""TLS to Redis with a CA of one's own: no other CA is trusted."""

from __future__ import annotations

import ssl
from socket import socket
from typing import Any

from redis.connection import SSLConnection


class TlsConnection(SSLConnection):
    """A connection of redis-py that trusts the CA of its ``ssl_ca_…`` options, and no other."""

    def context(self) -> ssl.SSLContext:
        """Return an SSL context for the connection's options.

        :raises OSError: a file is missing or wrong.
        :raises ValueError: the options ask for OCSP, which redis-py checks with a context of its own.
        """
        if self.ssl_validate_ocsp or self.ssl_validate_ocsp_stapled:
            raise ValueError("ssl_validate_ocsp and a CA can't be combined: drop one of them")
        context = ssl.create_default_context(cafile=self.ca_certs, capath=self.ca_path, cadata=self.ca_data)
        context.check_hostname = self.check_hostname and self.cert_reqs != ssl.CERT_NONE
        context.verify_mode = self.cert_reqs
        # redis-py has had these two since version 7.
        for flag in getattr(self, "ssl_include_verify_flags", None) or ():
            context.verify_flags |= flag
        for flag in getattr(self, "ssl_exclude_verify_flags", None) or ():
            context.verify_flags &= ~flag
        if self.certfile or self.keyfile:
            context.load_cert_chain(self.certfile or "", self.keyfile, self.certificate_password)
        if self.ssl_min_version is not None:
            context.minimum_version = ssl.TLSVersion(int(self.ssl_min_version))  # redis-py 5 leaves it a text
        if self.ssl_ciphers:
            context.set_ciphers(self.ssl_ciphers)
        return context

    def _wrap_socket_with_ssl(self, sock: socket) -> Any:
        # This method is private to redis-py (5.1 to 8.1). It begins with `ssl.create_default_context()`, which trusts
        # the system's CAs, and then adds the given CA. No option of redis-py changes that.
        return self.context().wrap_socket(sock, server_hostname=self.host)
