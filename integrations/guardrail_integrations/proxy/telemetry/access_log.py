"""The access log, and where it and all other messages go."""

from __future__ import annotations

import json
import logging
from typing import Any

from guardrail_integrations.proxy.interfaces import Access


class AccessLog:
    """One line of JSON a request on standard error."""

    def __init__(self) -> None:
        self._log = logging.getLogger("guardrail.access")

    def began(self) -> None:
        """See interfaces.Observer."""

    def ended(self, access: Access) -> None:
        """See interfaces.Observer."""
        row: dict[str, Any] = {
            "method": access.method,
            "path": access.path,
            "status": access.status,
            "ms": round((access.ended_ns - access.started_ns) / 1e6, 3),
            "upstream_ms": round(access.upstream_ns / 1e6, 3),
            "bytes_in": access.bytes_in,
            "bytes_out": access.bytes_out,
            "streamed": access.streamed,
            "action": access.action,
            "code": access.code,
            "record": access.record,
            "route": access.route,
            "tenant": access.tenant,
        }
        self._log.info(json.dumps({k: v for k, v in row.items() if v not in ("", False)}))


def log_to_stderr() -> None:
    """Messages and the access log go to standard error as they are."""
    log = logging.getLogger("guardrail")
    log.addHandler(logging.StreamHandler())
    log.setLevel(logging.INFO)
