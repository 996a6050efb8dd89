"""What doctor tries itself, below the client: names, TCP connections and TLS handshakes. The only module here with sockets."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from typing import Any, NamedTuple, Optional

from ..connection import SslConfig

Address = tuple[int, tuple[Any, ...]]  # (address family, socket address)


class Connection(NamedTuple):
    """A TCP connection that stands: ``ip`` is the address that answered, ``failed`` those that did not, with reasons."""

    sock: socket.socket
    ip: str
    took_ms: float
    failed: list[str]


class Certificate(NamedTuple):
    """What a verified TLS peer showed."""

    tls_version: str
    names: list[str]
    days_left: float


def look_up(host: str, port: int) -> list[Address]:
    """Return the addresses of a host, each once.

    :raises OSError: when the name is not known, or is no name
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"it is not a host name ({error})") from None
    return list(dict.fromkeys((family, address) for family, _type, _proto, _name, address in found))


def connect(addresses: list[Address], timeout_s: float) -> Connection:
    """Return a connection to the first address that answers.

    :raises OSError: when none does, with the reason of each; TimeoutError when one of them was silent
    """
    failed: list[str] = []
    silent = False
    for family, address in addresses:
        began = time.monotonic()
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout_s)
            sock.connect(address)
            return Connection(sock, address[0], (time.monotonic() - began) * 1000, failed)
        except OSError as error:
            sock.close()
            silent = silent or isinstance(error, socket.timeout)
            failed.append(f"{address[0]}: {'no answer' if isinstance(error, socket.timeout) else error.strerror or error}")
    reasons = "; ".join(failed)
    raise TimeoutError(reasons) if silent else ConnectionError(reasons)


def handshake(sock: socket.socket, host: str, config: SslConfig) -> Certificate:
    """Return the certificate of the peer after a TLS handshake; closes the connection.

    :raises OSError: when it fails: an ssl.SSLCertVerificationError when the certificate is not to be trusted
    """
    with config.context().wrap_socket(sock, server_hostname=host.rstrip(".")) as secured:
        shown: dict[str, Any] = secured.getpeercert() or {}
        return Certificate(secured.version() or "TLS", names_in(shown), _days_left(shown))


def names_in(certificate: dict[str, Any]) -> list[str]:
    """Return the host names and addresses that a certificate is for."""
    return [value for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]


def _days_left(certificate: dict[str, Any]) -> float:
    ends = certificate.get("notAfter")
    return float("inf") if ends is None else (ssl.cert_time_to_seconds(ends) - time.time()) / 86400


def is_verification_error(error: OSError) -> bool:
    """Return whether a handshake failed because the certificate is not to be trusted."""
    return isinstance(error, ssl.SSLCertVerificationError)


def verification_reason(error: OSError) -> str:
    """Return in OpenSSL's words why a certificate is not to be trusted."""
    return str(getattr(error, "verify_message", "") or error)


def is_wrong_name(error: OSError) -> bool:
    """Return whether a certificate is not trusted because it names another host."""
    return getattr(error, "verify_code", 0) in (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, ..._IP_ADDRESS_MISMATCH


def is_about_our_certificate(error: BaseException) -> bool:
    """Return whether the peer ended TLS because of the certificate that this side showed, or did not show."""
    reason = getattr(error, "reason", None) or ""
    return "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason)


def refuses_our_certificate(host: str, port: int, config: SslConfig, timeout_s: float) -> bool:
    """Return whether the peer is content with the certificate of this side: with TLS 1.3 it says so after the handshake."""
    sock: Optional[socket.socket] = None
    try:
        sock = connect(look_up(host, port), timeout_s).sock
        with config.context().wrap_socket(sock, server_hostname=host.rstrip(".")) as secured:
            secured.recv(1)
    except (OSError, ValueError) as error:
        return is_about_our_certificate(error)
    finally:
        if sock is not None:
            sock.close()
    return False


def speaks_tls(host: str, port: int, timeout_s: float) -> bool:
    """Return whether TLS is spoken at ``host:port``, by beginning a handshake that trusts anybody; nothing else is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    sock: Optional[socket.socket] = None
    try:
        sock = connect(look_up(host, port), timeout_s).sock
        with context.wrap_socket(sock, server_hostname=host.rstrip(".")):
            return True
    except ssl.SSLError as error:
        # an alert is an answer in TLS, if not a friendly one; anything else is not TLS at all
        return "ALERT" in (error.reason or "")
    except (OSError, ValueError):
        return False
    finally:
        if sock is not None:
            sock.close()


def is_only_local(host: str) -> bool:
    """Return whether ``host`` means this very machine on every machine, so that nobody else can use it."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def now_ms() -> float:
    """Return what this machine's clock says, in milliseconds since 1970."""
    return time.time() * 1000
