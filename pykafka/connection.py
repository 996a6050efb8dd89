"""How connections are secured: SslConfig."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from .common import brief
from .exceptions import KafkaConfigError

if TYPE_CHECKING:
    import ssl

Password = Union[str, bytes, bytearray, Callable[[], Union[str, bytes, bytearray]], None]


class SslConfig:
    """TLS settings: who signed the brokers' certificates, and what this client shows them.

    The broker's certificate is verified and must name the host that was connected to (unlike PyKafka 2.8).

    :param cafile: PEM file of the authorities to trust; None trusts what the system trusts
    :param certfile: PEM file of this client's certificate, for brokers that ask for one, and ``keyfile`` its key
    :param password: of the key: str, bytes, or a callable that returns it
    :param check_hostname: False accepts any name in the broker's certificate: only where the names cannot be right
    """

    def __init__(
        self,
        cafile: Optional[str],
        certfile: Optional[str] = None,
        keyfile: Optional[str] = None,
        password: Password = None,
        *,
        check_hostname: bool = True,
    ) -> None:
        self.cafile = cafile
        self.certfile = certfile
        self.keyfile = keyfile
        self.password = password
        self.check_hostname = check_hostname
        self._context: Optional[ssl.SSLContext] = None

    def __repr__(self) -> str:
        secret = "" if self.password is None else ", password=***"
        return f"SslConfig(cafile={self.cafile!r}, certfile={self.certfile!r}, keyfile={self.keyfile!r}{secret})"

    def context(self) -> ssl.SSLContext:
        """Return the SSLContext that these settings make; made once.

        :raises KafkaConfigError: naming the file that is missing or is not what it should be
        """
        if self._context is None:
            import ssl  # 10 ms that only users of TLS pay

            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.check_hostname = self.check_hostname
            if self.cafile is None:
                context.load_default_certs()
            else:
                with _naming(f"cafile={brief(self.cafile)}"):
                    context.load_verify_locations(self.cafile)
            if self.certfile is not None:
                with _naming(f"certfile={brief(self.certfile)}, keyfile={brief(self.keyfile)}"):
                    context.load_cert_chain(self.certfile, self.keyfile, self.password)
            self._context = context
        return self._context

    def wrap_socket(self, sock: socket.socket, server_hostname: Optional[str] = None, **options: Any) -> ssl.SSLSocket:
        """Return ``sock`` wrapped in TLS; without ``server_hostname`` the peer's address is what it must be named."""
        name = server_hostname or sock.getpeername()[0]
        return self.context().wrap_socket(sock, server_hostname=name, **options)


@contextmanager
def _naming(files: str) -> Iterator[None]:
    """Have an error about ``files`` say that it is about them: what OpenSSL says names nothing."""
    try:
        yield
    except (OSError, TypeError, ValueError) as error:
        raise KafkaConfigError(f"SslConfig: {files} cannot be used: {error}") from error
