"""What is said first on a new connection: ApiVersions, with the fall-backs that old brokers need."""

from __future__ import annotations

from typing import NamedTuple, Optional

from ..exceptions import UnsupportedVersion, error_for
from ..protocol.messages import ApiVersionsRequest, ApiVersionsResponse

#: v4 lists features whose minimum is 0; v5 (4.4) only adds a check of the cluster id, which we do not ask for.
PREFERRED_VERSION = 4
CLIENT_SOFTWARE_NAME = "pykafka"
UNSUPPORTED_VERSION = 35


class BrokerAbilities(NamedTuple):
    """What one broker can do: ``versions`` maps an API key to (min, max), ``features`` a feature name to its level."""

    versions: dict[int, tuple[int, int]]
    features: dict[str, int]


class Handshake:
    """Asks for ApiVersions and decides from the answer: ready, or ask again with a lower version.

    A broker that lacks the version asked for answers with a v0 body and error 35. Since 2.4 that body holds its own
    range for ApiVersions; older ones leave it empty and are asked with v0 (KIP-511).
    """

    def __init__(self, software_version: str) -> None:
        self._software_version = software_version
        self.version = PREFERRED_VERSION

    def request(self) -> ApiVersionsRequest:
        """Return the request to send with :attr:`version`."""
        return ApiVersionsRequest(client_software_name=CLIENT_SOFTWARE_NAME, client_software_version=self._software_version)

    def on_reply(self, reply: ApiVersionsResponse, peer: str) -> Optional[BrokerAbilities]:
        """Return what the broker can do, or None when :meth:`request` is to be sent again with the new version.

        :raises UnsupportedVersion: when not even version 0 is answered
        """
        if reply.error_code == UNSUPPORTED_VERSION:
            self.version = self._lower_version(reply, peer)
            return None
        if reply.error_code:
            raise error_for(reply.error_code, broker=peer, api="ApiVersions", version=self.version)
        versions = {row.api_key: (row.min_version, row.max_version) for row in reply.api_keys}
        features = {row.name: row.max_version_level for row in reply.finalized_features}
        return BrokerAbilities(versions, features)

    def _lower_version(self, reply: ApiVersionsResponse, peer: str) -> int:
        offered = [row.max_version for row in reply.api_keys if row.api_key == ApiVersionsRequest.KEY]
        lower = min(offered[0], self.version - 1) if offered else 0
        if self.version == 0 or lower < 0:
            raise UnsupportedVersion(f"{peer} refuses every version of ApiVersions: it is older than Kafka 0.10")
        return lower
