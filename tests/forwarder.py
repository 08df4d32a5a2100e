"""The forwarder of the laptop's stack, by the name under which tests know it."""

from __future__ import annotations

from devstack.forwarder import Forwarder

__all__ = ["Forwarder"]
