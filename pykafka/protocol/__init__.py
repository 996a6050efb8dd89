"""The wire protocol: declared messages, their codecs, and what turns bytes into replies."""

from __future__ import annotations

from ..records.message import Message
from .requests import CreateTopicRequest

__all__ = ["CreateTopicRequest", "Message"]
