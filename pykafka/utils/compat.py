"""What PyKafka code imports from here; the only place that uses six."""

from __future__ import annotations

from six import ensure_binary, ensure_str, reraise

__all__ = ["ensure_binary", "ensure_str", "get_bytes", "get_string", "reraise"]

get_bytes = ensure_binary
get_string = ensure_str
