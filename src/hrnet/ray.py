"""Very many pictures on all cores, GPUs and machines that Ray has.

import hrnet.ray
import ray

found = hrnet.ray.predict(ray.data.read_parquet("pictures.parquet"), actors=8)
found.write_parquet("poses")
"""

import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrnet.errors import ConfigError, HRNetError
from hrnet.predicting.parts import Part, PartWriter
from hrnet.predicting.rows import PoseRows, kept_columns

if TYPE_CHECKING:
    from ray.data import Dataset

RETRIES = 3  # of a part whose worker dies: by then it may be one of its pictures that kills it
ROWS = 50  # pictures that go to an actor at once
# Of the environment: what a worker is to have as this process has it, on other machines too.
VARIABLES = ("HRNET_", "OPENCV_LOG_LEVEL")


def predict(
    dataset: "Dataset",
    column: str = "path",
    *,
    boxes: str | None = None,
    actors: int | tuple[int, int] | None = None,
    cpus: float = 1,
    gpus: float = 0,
    **arguments: Any,
) -> "Dataset":
    """The poses of the people in a data set of pictures, a row a person.

    A pool of actors loads the estimator once each. A batch whose actor dies is done again.

    Args:
        dataset: of `ray.data`: `read_parquet`, `read_binary_files(..., include_paths=True)`,
            `from_items`, ...
        column: of the pictures: paths or URLs that the actors can read, encoded bytes, or arrays
            (H, W, 3) uint8 RGB.
        boxes: column of people's boxes, [[x1, y1, x2, y2], ...] in pixels of the picture as shown,
            see `hrnet.PoseEstimator`; null leaves one picture to the detector.
        actors: how many at most; or the fewest and the most; None for as many as there is room for.
            They come as there is work, and as what reads the data set leaves CPUs free.
        cpus, gpus: of each, as Ray counts them. On a processor an actor computes on so many
            threads.
        arguments: of `hrnet.PoseEstimator`.

    Returns:
        A data set not yet computed, whose rows have the data set's own columns (but for boxes, and
        pictures that are bytes or arrays) and those of `hrnet.predicting.rows.row_fields`. A
        picture without people has one row whose `person` is null, and so has one that cannot be
        used, with the reason in `error`.

    Raises:
        ConfigError: Ray is not installed, or has too few CPUs; or there is no such column, or
            none that says which picture a row is of.
    """
    ray = _import_ray()
    import pyarrow as pa
    from ray.data import ActorPoolStrategy

    # Not known before they are computed are columns of some data sets; then each actor looks.
    known = dataset.schema(fetch_if_missing=False)
    if known is not None and isinstance(known.base_schema, pa.Schema):
        kept_columns(known.base_schema, column, boxes)
    fewest, most = actors if isinstance(actors, tuple) else (1, actors)
    # Else what reads would wait for actors that wait for it.
    available = ray.cluster_resources().get("CPU", 0)
    if available < fewest * cpus + 1:
        raise ConfigError(
            f"{fewest} actors of {cpus:g} CPUs leave none of Ray's {available:g} to read pictures "
            "with; ask for fewer"
        )
    # Blocks may be large, and one is one actor's.
    return dataset.repartition(target_num_rows_per_block=ROWS).map_batches(
        PoseRows,
        batch_size=None,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(min_size=fewest, max_size=most),
        fn_constructor_args=(column,),
        fn_constructor_kwargs={"boxes": boxes, **arguments},
        num_cpus=cpus,
        num_gpus=gpus,
        runtime_env=_environment(),
    )


@contextmanager
def running() -> Iterator[None]:
    """In the block Ray runs: where it does not already, it is started, or joined if the environment
    variable RAY_ADDRESS says where or one runs on this machine, and left at the end.

    Raises:
        ConfigError: Ray is not installed, or there is none at that address.
    """
    ray = _import_ray()
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(f"Ray cannot be joined or started: {error}") from None
    try:
        yield
    finally:
        ray.shutdown()


def write_parts(
    folder: Path,
    parts: Iterable[Part],
    *,
    upright: bool,
    actors: int | None,
    cpus: float,
    gpus: float,
    **arguments: Any,
) -> Generator[tuple[Part, dict[str, Any] | None, list[str]]]:
    """Have parts written by a pool of actors, see `hrnet.predicting.parts`. A part whose actor dies
    is done again. No more than one part an actor is held.

    Args:
        folder: of the run, which all machines see under this name.
        upright: see `hrnet.Picture`.
        actors, cpus, gpus: see `predict`.
        arguments: of `hrnet.PoseEstimator`.

    Yields:
        The parts as they are done, with what `PartWriter.write` gives; None in place of the summary
        of one that killed its actor again and again.

    Raises:
        ConfigError: Ray has not what an actor is to have.
        HRNetError: no actor comes up; or, of whatever kind, what `hrnet.PoseEstimator` raises.
    """
    ray = _import_ray()
    from ray.exceptions import RayActorError, RayTaskError

    room = _room(cpus, gpus)
    pool = [
        ray.remote(PartWriter)
        .options(
            num_cpus=cpus,
            num_gpus=gpus,
            max_restarts=-1,
            max_task_retries=RETRIES,
            runtime_env=_environment(),
        )
        .remote(folder, upright=upright, **arguments)
        for _ in range(actors or room)
    ]
    todo = iter(parts)
    # Of the actors, what each is at; those that there is no room for get no part.
    busy: dict[Any, tuple[Any, Part | None]] = {own.open.remote(): (own, None) for own in pool}
    is_left = True
    try:
        while is_left or any(part is not None for _, part in busy.values()):
            if not busy:
                raise HRNetError("the workers of Ray die when they load the model")
            (done, *_), _ = ray.wait(list(busy))
            actor, part = busy.pop(done)
            summary, errors = None, list[str]()
            try:
                answer = ray.get(done)
            except RayTaskError as error:
                raise error.cause if isinstance(error.cause, Exception) else error from None
            except RayActorError:
                if part is None:
                    continue
            else:
                if part is not None:
                    summary, errors = answer
            following = next(todo, None)  # not before somebody can do it
            if following is None:
                is_left = False
            else:
                busy[actor.write.remote(following)] = actor, following
            if part is not None:
                yield part, summary, errors
    finally:
        for actor in pool:
            ray.kill(actor)


def _room(cpus: float, gpus: float) -> int:
    """How many actors there is room for.

    Raises:
        ConfigError: for none.
    """
    ray = _import_ray()
    room = 0
    for node in ray.nodes():
        if node["Alive"]:
            wanted = ("CPU", cpus), ("GPU", gpus)
            rooms = [node["Resources"].get(kind, 0) // own for kind, own in wanted if own]
            room += int(min(rooms, default=1))
    if not room:
        raise ConfigError(
            f"no machine that Ray has, has {cpus:g} CPUs and {gpus:g} GPUs for an actor; ask for "
            "fewer"
        )
    return room


def _environment() -> dict[str, Any]:
    own = {name: text for name, text in os.environ.items() if name.startswith(VARIABLES)}
    return {"env_vars": own}


def _import_ray() -> Any:
    try:
        import pyarrow  # noqa: F401  # whether it is here
        import ray
    except ModuleNotFoundError as error:
        raise ConfigError(f"this needs {error.name}: pip install 'hrnet[ray]'") from None
    return ray
