"""A real `hrnet serve`, in a process of its own, for tests to ask."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import httpx
from prometheus_client.parser import text_string_to_metric_families

RUN = """
import sys
from hrnet.cli import main
{before}
sys.argv[0] = "hrnet"
main()
"""


class Server:
    """Attributes:
    address: such as http://127.0.0.1:41234.
    errors: what the process says on standard error, line by line.
    """

    def __init__(self, process, log, address, errors):
        self.process, self.log_file, self.address, self.errors = process, log, address, errors
        self.port = int(address.rpartition(":")[2])
        self.client = httpx.Client(base_url=address, timeout=60, trust_env=False)

    def predict(self, picture, /, **options):
        """The response to a picture's bytes, or to a form."""
        if isinstance(picture, bytes):
            return self.client.post("/predict", params=options, content=picture)
        return self.client.post("/predict", params=options, **picture)

    def people(self, picture, /, **options):
        response = self.predict(picture, **options)
        assert response.status_code == 200, response.text
        return response.json()["people"]

    def log(self):
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    def metrics(self):
        """Each sample's value, by its name and labels' values."""
        families = text_string_to_metric_families(self.client.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples]
        return {(s.name, *s.labels.values()): s.value for s in samples}

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)


@contextmanager
def serving(folder: Path, *arguments, before="", **environment):
    """A server; it is asked to end with the block, and must end well and without a traceback.

    Args:
        before: code to run in its process first.
    """
    # The runtime that a user has, which is not the tests'.
    own = {k: v for k, v in os.environ.items() if k not in ("HRNET_RUNTIME", "HRNET_PRECISION")}
    own["OPENCV_LOG_LEVEL"] = "SILENT"  # as the command line has it, also where `before` is earlier
    log = folder / "log"
    command = [sys.executable, "-c", RUN.format(before=before), "serve", "--port", "0"]
    with log.open("wb") as stdout:
        process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            env=own | environment,
        )
    errors = []
    try:
        line = process.stderr.readline()
        address = re.search(r"http://[^/;]+", line)
        assert address, line + process.stderr.read()
        reading = Thread(target=lambda: errors.extend(process.stderr))
        reading.start()
        server = Server(process, log, address[0], errors)
        yield server
        server.client.close()
        if process.poll() is None:
            process.terminate()
        assert process.wait(60) == 0
        reading.join()
        said = "".join(errors)
        assert not re.search("Traceback|^ERROR: ", said, re.MULTILINE), said
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def until(condition, seconds=30):
    """Wait for something that comes about soon."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it has not come about"
        time.sleep(0.01)
