"""`serm ui`: MLflow on the workspace: runs, model versions and the agents' traces."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from serm.cli.options import Place

HOST = "127.0.0.1"


def add_to(app: typer.Typer) -> None:
    app.command("ui")(ui)


def ui(
    place: Place,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 5000,
) -> None:
    """Open MLflow on the workspace: metrics, model versions, traces."""
    from serm.cli.load import look_at
    from serm.core.discretion import login_of, without_login

    workspace = look_at(place)
    uri = workspace.found_mlflow()
    if uri.startswith(("http://", "https://")):
        shown = without_login(uri)
        print(
            f"MLflow runs at {shown}; this workspace's runs and models are called {workspace.registered_as}."
        )
        return
    print(f"MLflow on {without_login(uri)}: http://{HOST}:{port} (Ctrl-C ends it)", flush=True)
    # Jobs are MLflow's background workers for evaluations; nothing here uses them.
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    if login_of(uri):  # everybody on the machine may read a command's arguments, but not its variables
        os.environ["MLFLOW_BACKEND_STORE_URI"] = uri
    store = [] if login_of(uri) else ["--backend-store-uri", uri]
    where = [*store, "--host", HOST, "--port", str(port), "--workers", "1"]
    os.execv(sys.executable, [sys.executable, "-W", "ignore", "-m", "mlflow", "ui", *where])
