"""The command that serves a model over HTTP.

    python -m tl_core.cli.serve RUN_OR_BUNDLE

is the same as ``tl serve``, without the other commands: exported folders have this one alone.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Annotated

import typer

from tl_core.cli.arguments import Quiet, WorkspaceDir, workspace_at
from tl_core.cli.studio import LOCAL_HOST, THIS_MACHINE
from tl_core.cli.terminal import exit_on_error, say, working
from tl_core.errors import TLError
from tl_core.installation import install_command

DEFAULT_PORT = 8000
_PACKAGES = ("fastapi", "uvicorn", "httptools", "prometheus_client", "python_multipart")


def serve(
    model_dir: Annotated[
        Path, typer.Argument(metavar="RUN_OR_BUNDLE", help="Folder of a run or a bundle.")
    ],
    host: Annotated[
        str,
        typer.Option(
            envvar="TL_SERVE_HOST", help="Address to listen on; 0.0.0.0 for all of the network."
        ),
    ] = LOCAL_HOST,
    port: Annotated[
        int, typer.Option(min=0, max=65535, envvar="TL_SERVE_PORT", help="Port to listen on.")
    ] = DEFAULT_PORT,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            envvar="TL_SERVE_WORKERS",
            help="Images computed at the same time.  [one a core]",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the model in URLs.  [made of its own]", show_default=False),
    ] = None,
    max_bytes: Annotated[
        int | None,
        typer.Option(envvar="TL_SERVE_MAX_BYTES", help="Size of a request.  [32 MiB]"),
    ] = None,
    max_megapixels: Annotated[
        int | None,
        typer.Option(envvar="TL_SERVE_MAX_MEGAPIXELS", help="Size of an image.  [40]"),
    ] = None,
    max_images: Annotated[
        int | None,
        typer.Option(envvar="TL_SERVE_MAX_IMAGES", help="Images in a request.  [32]"),
    ] = None,
    max_queue: Annotated[
        int | None,
        typer.Option(
            envvar="TL_SERVE_MAX_QUEUE", help="Images that wait; more are answered 503.  [64]"
        ),
    ] = None,
    max_connections: Annotated[
        int | None,
        typer.Option(envvar="TL_SERVE_MAX_CONNECTIONS", help="Open connections.  [512]"),
    ] = None,
    read_seconds: Annotated[
        int | None,
        typer.Option(envvar="TL_SERVE_READ_SECONDS", help="Time to send a request.  [30]"),
    ] = None,
    stop_seconds: Annotated[
        int | None,
        typer.Option(
            envvar="TL_SERVE_STOP_SECONDS", help="Time to finish requests at the end.  [30]"
        ),
    ] = None,
    workspace: WorkspaceDir = None,
    quiet: Quiet = False,
) -> None:
    """Answer over HTTP with a run or a bundle. Ctrl-C stops it after the running requests.

    With TL_API_KEY set, clients have to send that key. Logs are JSON on standard output.
    """
    missing = [one for one in _PACKAGES if importlib.util.find_spec(one) is None]
    if missing:
        raise TLError(
            f"The service needs {', '.join(missing)}, which is not installed. "
            f"Install it with: {install_command('serve')}"
        )
    from threadpoolctl import threadpool_limits

    from tl_core.serving.app import create_app
    from tl_core.serving.logs import set_up_logs
    from tl_core.serving.model import open_model, url_name
    from tl_core.serving.server import listen, run_service
    from tl_core.serving.settings import ServiceSettings, api_key

    given = {
        "max_bytes": max_bytes,
        "max_megapixels": max_megapixels,
        "max_images": max_images,
        "max_queue": max_queue,
        "max_connections": max_connections,
        "read_seconds": read_seconds,
        "stop_seconds": stop_seconds,
    }
    settings = ServiceSettings.create({k: v for k, v in given.items() if v is not None})
    key = api_key()
    with working(quiet, as_json=False) as (progress, monitor):
        progress.note("opening the model")
        model = open_model(
            model_dir,
            workspace_at(workspace).cache_dir,
            name=None if name is None else url_name(name),
            num_workers=workers,
            monitor=monitor,
        )
    with listen(host, port) as listener:
        url = f"http://{host}:{listener.getsockname()[1]}"
        say(f"Serving '{model.name}' at {url}, described at {url}/docs. Ctrl-C stops it.")
        if host not in THIS_MACHINE and key is None:
            say(
                f"It listens on {host} without a key: everyone who reaches this machine over the "
                "network can use it. Set TL_API_KEY to ask for one."
            )
        sys.stdout.flush()
        set_up_logs()
        threadpool_limits(1, "blas")  # each worker has a core of its own
        run_service(create_app(model, settings, key), listener, settings)


if __name__ == "__main__":
    with exit_on_error():
        typer.run(serve)
