"""`hrnet serve`: an HTTP service, and its page."""

import os
from typing import Annotated

import typer

from hrnet.cli.console import console
from hrnet.cli.options import Device, FlipTest, Precision, Runtime

TOKEN = "HRNET_TOKEN"  # of the environment
LOOPBACK = "127.0.0.1", "::1", "localhost"


def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A model's name, a file, or hf:owner/name; may be given several times, and the "
            "first answers where a request names none. [default: the packaged]"
        ),
    ] = None,
    detector: Annotated[
        str, typer.Option(help="What finds the people, as of hrnet predict.")
    ] = "auto",
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for other machines' requests.")
    ] = LOOPBACK[0],
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for a free one.")] = 8000,
    deadline: Annotated[
        float,
        typer.Option(help="Milliseconds that a picture may wait for others to share a batch."),
    ] = 4.0,
    max_bytes: Annotated[int, typer.Option(help="Of a request.")] = 20_000_000,
    max_pixels: Annotated[int, typer.Option(help="Of a picture.")] = 50_000_000,
    max_people: Annotated[int, typer.Option(help="In a picture.")] = 200,
    queue: Annotated[
        int, typer.Option(help="Requests in the service at once; others get a 503 at once.")
    ] = 64,
    device: Device = "auto",
    runtime: Runtime = "auto",
    precision: Precision = "auto",
    flip_test: FlipTest = False,
) -> None:
    """Answer pictures sent over HTTP with people's joints, and show a page to try it on.

    A log line a request goes to standard output. If the environment variable HRNET_TOKEN is set,
    requests must bear it.
    """
    from hrnet.errors import ConfigError, HRNetError
    from hrnet.images.reading import MAX_PIXELS_VARIABLE
    from hrnet.predicting.estimator import PoseEstimator
    from hrnet.server.app import create_app
    from hrnet.server.batching import in_background
    from hrnet.server.limits import Limits
    from hrnet.server.running import listen, run
    from hrnet.server.service import Service

    numbers = {
        "--max-bytes": max_bytes,
        "--max-pixels": max_pixels,
        "--max-people": max_people,
        "--queue": queue,
    }
    for option, number in numbers.items():
        if number < 1:
            raise ConfigError(f"{option} is {number}; it must be at least 1")
    if not 0 <= deadline <= 1000:
        raise ConfigError(f"--deadline is {deadline}; it must be from 0 to 1000 milliseconds")
    token = os.environ.get(TOKEN) or None
    if token is not None and not (token.isascii() and token.isprintable()):
        raise ConfigError(f"{TOKEN} must be printable ASCII, as it is sent in a header")
    os.environ.setdefault(MAX_PIXELS_VARIABLE, str(max_pixels))  # or reading would stop before
    limits = Limits(bytes=max_bytes, pixels=max_pixels, people=max_people, queue=queue)
    listening = listen(host, port)
    estimators: dict[str, PoseEstimator] = {}

    def start() -> Service:
        names: list[str | None] = [*model] if model else [None]
        for name in names:
            estimator = PoseEstimator(
                name,
                detector=detector,
                device=device,
                runtime=runtime,
                precision=precision,
                flip_test=flip_test,
                max_people=max_people,
            )
            if estimator.card.name in estimators:
                raise ConfigError(f"two models are called {estimator.card.name}; give one of them")
            estimators[estimator.card.name] = estimator
        service = Service(estimators, limits=limits, deadline=deadline / 1000, token=token)
        try:
            service.start()
        except HRNetError:
            service.close()
            raise
        return service

    service = in_background(start)

    def ready() -> None:
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listening.getsockname()[1]}/"
        runs = ", ".join(f"{n} ({e.runner.runs})" for n, e in estimators.items())
        errors = console(errors=True)
        errors.print(f"serving {runs} at {address}; Ctrl-C ends it")
        if host not in LOOPBACK and token is None:
            errors.print(f"whoever reaches this address may use it; set {TOKEN} to ask for a token")

    run(create_app(service), listening, limits, ready)
