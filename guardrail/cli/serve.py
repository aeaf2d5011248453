"""`guardrail serve`: the policy in front of a model endpoint."""

from __future__ import annotations

import os
from pathlib import Path

import click

from guardrail.cli.common import A_FILE, fail, policy_option


@click.command()
@click.option("--upstream", help="The model endpoint: http://localhost:8000.")
@click.option(
    "--config",
    type=A_FILE,
    help="A file of upstreams, routes and limits, in place of --upstream.",
)
@policy_option
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535))
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 256))
@click.option("--tls-cert", type=A_FILE)
@click.option("--tls-key", type=A_FILE)
@click.option(
    "--records",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append the record of each call to this file.",
)
@click.option("--access-log/--no-access-log", default=True, help="One line a request on stderr.")
@click.option(
    "--cache-url",
    envvar="GUARDRAIL_CACHE_URL",
    help="A Redis or Valkey server that shares results of checks: redis://cache:6379/0.",
)
@click.option("--warm/--no-warm", default=True, help="Load all models before the first call.")
def serve(
    upstream: str | None,
    config: Path | None,
    policy: str,
    host: str,
    port: int,
    workers: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    records: Path | None,
    access_log: bool,
    cache_url: str | None,
    warm: bool,
) -> None:
    """Put a policy in front of a model endpoint; clients change their base URL and nothing else.

    SIGHUP reads the policy again without dropping a call; SIGTERM and SIGINT finish the calls
    under way and end.
    """
    try:
        from guardrail_integrations.proxy.server.options import Options
        from guardrail_integrations.proxy.server.supervisor import serve_forever
    except ImportError as error:
        fail(f"{error.name} is not installed: pip install 'guardrail-vision[proxy]'")
    options = Options(
        policy=policy,
        upstream=upstream,
        config=config,
        host=host,
        port=port,
        workers=workers,
        certificate=tls_cert,
        key=tls_key,
        records=records,
        access_log=access_log,
        warm=warm,
        cache_url=cache_url,
        digest_key=os.environ.get("GUARDRAIL_DIGEST_KEY"),
    )
    problem = serve_forever(options)
    if problem:
        fail(problem)
