"""`hrnet serve` under load, against the same model called in a plain loop.

    python benchmarks/serve.py DATA/coco/images [--detector whole] [--deadlines 0,2,4,8]
        [--requests 200] [--rounds 3]

For each batch deadline a server, and clients that send the folder's pictures over loopback, each
its next one when the answer to the last is there. Pictures a second, and milliseconds from a
request's first byte to its answer's last. Then an overload: requests arrive at four times the speed
of 16 clients, whether or not earlier ones are answered, at a server with 16 places (--queue 16). In
every round each has its turn, after one that does not count; clients are in this process, on the
same cores.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import hrnet

RUN = [sys.executable, "-c", "from hrnet.cli import main; main()"]
QUEUE, TIMES = 16, 4


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--detector", choices=("auto", "whole"), default="auto")
    parser.add_argument("--deadlines", default="0,2,4,8", help="milliseconds")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    pictures = [file.read_bytes() for file in sorted(options.pictures.glob("*.jpg"))]
    estimator = hrnet.PoseEstimator(detector=options.detector)
    runs_in = estimator.runner.runs

    def loop() -> list[float]:
        taken = []
        for number in range(options.requests):
            begun = time.perf_counter()
            json.dumps(estimator(pictures[number % len(pictures)]).to_dict())
            taken.append(time.perf_counter() - begun)
        return taken

    with ExitStack() as stack:
        ports = {
            float(deadline): stack.enter_context(server("--deadline", deadline))
            for deadline in options.deadlines.split(",")
        }
        full = stack.enter_context(server("--queue", str(QUEUE)))
        rows: dict[str, list[tuple[float, list[float]]]] = {}
        refusals: list[float] = []
        answered = 0
        for number in range(-1, options.rounds):

            def add(name: str, taken: list[float], seconds: float, counts: bool) -> None:
                if counts:
                    rows.setdefault(name, []).append((len(taken) / seconds, taken))

            counts = number >= 0
            begun = time.perf_counter()
            add("plain loop", loop(), time.perf_counter() - begun, counts)
            for deadline, port in ports.items():
                for clients in (1, 4, 16):
                    load = Load(port, options.detector, pictures, options.requests)
                    seconds = asyncio.run(load.run(clients))
                    name = f"{clients:>2} clients, deadline {deadline:g} ms"
                    add(name, load.answered, seconds, counts)
            speed = len(load.answered) / seconds
            load = Load(full, options.detector, pictures, TIMES * options.requests)
            seconds = asyncio.run(load.arrive(TIMES * speed))
            add(f"{TIMES} times too many, {QUEUE} places", load.answered, seconds, counts)
            if counts:
                refusals += load.refused
                answered += len(load.answered)
    how = "everybody found" if options.detector == "auto" else "each picture one person"
    print(f"{options.requests} requests a row, {options.rounds} rounds; {how}; {runs_in}")
    print(f"{'':<28}{'pictures a second':>24}   p50   p95   p99 ms   of the plain loop")
    base = [speed for speed, _ in rows["plain loop"]]
    for name, runs in rows.items():
        speeds = [speed for speed, _ in runs]
        times = sorted(1000 * taken for _, all_taken in runs for taken in all_taken)
        middle = f"{statistics.median(speeds):.1f} [{min(speeds):.1f}, {max(speeds):.1f}]"
        ratio = statistics.median(a / b for a, b in zip(speeds, base, strict=True))
        parts = "".join(f"{percentile(times, p):6.0f}" for p in (50, 95, 99))
        print(f"{name:<28}{middle:>24}{parts}      {ratio:.2f}")
    for deadline in ports:
        one, many = (
            [speed for speed, _ in rows[f"{clients:>2} clients, deadline {deadline:g} ms"]]
            for clients in (1, 16)
        )
        ratios = [b / a for a, b in zip(one, many, strict=True)]
        print(
            f"16 clients to 1, deadline {deadline:g} ms: {statistics.median(ratios):.2f} "
            f"[{min(ratios):.2f}, {max(ratios):.2f}]"
        )
    times = sorted(1000 * taken for taken in refusals)
    parts = ", ".join(f"p{p} {percentile(times, p):.1f}" for p in (50, 99, 100))
    print(
        f"overload: {answered} answered, {len(times)} refused: {parts} ms from first byte to last"
    )


def percentile(ordered: Sequence[float], part: int) -> float:
    """Of ordered numbers; the nearest rank."""
    return ordered[min(len(ordered) - 1, len(ordered) * part // 100)] if ordered else float("nan")


@contextmanager
def server(*arguments: str) -> Iterator[int]:
    """A server's port; it ends with the block."""
    command = [*RUN, "serve", "--port", "0", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    try:
        yield int(line.partition("127.0.0.1:")[2].partition("/")[0])
    finally:
        process.terminate()
        process.wait()


class Load:
    """Clients that ask for so many answers together.

    Attributes:
        answered, refused: seconds that each took.
    """

    def __init__(self, port: int, detector: str, pictures: Sequence[bytes], requests: int) -> None:
        self.port = port
        self.path = f"/predict?detector={detector}"
        self.pictures = pictures
        self.requests = requests
        self.answered: list[float] = []
        self.refused: list[float] = []

    async def run(self, clients: int) -> float:
        """Each client asks when it has its answer; seconds until all have theirs."""
        numbers = iter(range(self.requests))

        async def client() -> None:
            connection = Connection(self.port, self.path)
            for number in numbers:
                await self._ask(connection, number)
            connection.close()

        begun = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(clients)))
        return time.perf_counter() - begun

    async def arrive(self, speed: float) -> float:
        """So many requests a second, whatever becomes of them; seconds until all have answers."""
        idle: list[Connection] = []

        async def ask(number: int) -> None:
            connection = idle.pop() if idle else Connection(self.port, self.path)
            await self._ask(connection, number)
            idle.append(connection)

        begun = time.perf_counter()
        asking = []
        for number in range(self.requests):
            await asyncio.sleep(begun + number / speed - time.perf_counter())
            asking.append(asyncio.create_task(ask(number)))
        await asyncio.gather(*asking)
        for connection in idle:
            connection.close()
        return time.perf_counter() - begun

    async def _ask(self, connection: "Connection", number: int) -> None:
        body = self.pictures[number % len(self.pictures)]
        begun = time.perf_counter()
        status = await connection.post(body)
        taken = time.perf_counter() - begun
        if status not in (200, 503):
            raise SystemExit(f"a request was answered with {status}")
        (self.answered if status == 200 else self.refused).append(taken)


class Connection:
    """To a server on this machine: as little of HTTP as will do, to leave the cores to it."""

    def __init__(self, port: int, path: str) -> None:
        self.port = port
        self.path = path
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, body: bytes) -> int:
        """The status of the answer to a picture."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self._streams
        head = f"POST {self.path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        header = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = header.partition(b"content-length:")[2].partition(b"\r")[0]
        await reader.readexactly(int(length))
        if b"connection: close" in header:
            self.close()
        return int(header.split(maxsplit=2)[1])

    def close(self) -> None:
        """End the connection; the next request opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


if __name__ == "__main__":
    main()
