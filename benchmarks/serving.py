"""The HTTP service beside the bare engine: rate, memory, and a flood of bad bytes.

    python -m benchmarks.serving RUN_OR_BUNDLE PHOTOS [--rounds 5] [--memory 5000]

``PHOTOS`` is a folder of photos at any depth; their bytes are held in memory. Service and bare
engine (``Predictor.predict`` in this process, one thread a core) take turns on the same photos, so
that other load on the machine meets both. The clients run in this process and share its cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from tl_core.inference.image_files import find_images
from tl_core.inference.predict import Predictor, load_predictor

NUM_CLIENTS = 8
MAX_PHOTOS = 300
FLOOD_A_SECOND = 100
FLOOD_SECONDS = 8
START_SECONDS = 120
_BAD_BODIES = (b"", b"not an image", b"\xff\xd8\xff" + bytes(2000), b"BM" + b"\xff" * 5000)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("photos_dir", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", type=int, default=5000, help="requests, 0 for none")
    options = parser.parse_args()
    photos = [path.read_bytes() for path in find_images([options.photos_dir])[:MAX_PHOTOS]]
    predictor = load_predictor(options.model)
    predictor.predict(photos[:20])
    with service(options.model) as running:
        asyncio.run(ask(running.url, photos[:40]))
        rows = []
        for _ in range(options.rounds):
            rows.append(compare(running, predictor, photos))
            print(json.dumps(rows[-1]), flush=True)
        for name in ("rate_ratio", "core_ratio"):
            print(f"median {name}: {statistics.median(row[name] for row in rows):.3f}")
        print(json.dumps(asyncio.run(flood(running.url, photos))), flush=True)
        if options.memory:
            print(json.dumps(memory(running, photos, options.memory)))


def compare(running: Running, predictor: Predictor, photos: Sequence[bytes]) -> dict[str, float]:
    """Classify the photos by the bare engine, then by the service.

    Beside the rates it gives core milliseconds a photo: on a machine with other work, which takes
    turns with more threads of the service than of the engine, their ratio is the steadier one.
    """
    started, used = time.perf_counter(), time.process_time()
    predictor.predict(photos)
    bare, bare_core = time.perf_counter() - started, time.process_time() - used
    before, used = running.core_seconds(), time.process_time()
    seconds, _, _ = asyncio.run(ask(running.url, photos))
    service_core, client_core = running.core_seconds() - before, time.process_time() - used
    each = 1000 / len(photos)
    return {
        "bare_per_second": round(len(photos) / bare, 1),
        "service_per_second": round(len(photos) / seconds, 1),
        "rate_ratio": round(bare / seconds, 3),
        "bare_core_ms": round(bare_core * each, 2),
        "service_core_ms": round(service_core * each, 2),
        "clients_core_ms": round(client_core * each, 2),
        "core_ratio": round(bare_core / (service_core + client_core), 3),
    }


@dataclass
class Running:
    """A service that runs: its process and address."""

    process: subprocess.Popen[bytes]
    url: str

    def megabytes(self) -> float:
        """Return the resident memory of the service and its children."""
        return sum(one.memory_info().rss for one in self._family()) / 1e6

    def core_seconds(self) -> float:
        """Return the processor time that the service and its children have used."""
        times = [one.cpu_times() for one in self._family()]
        return sum(one.user + one.system for one in times)

    def _family(self) -> list[psutil.Process]:
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]


@contextmanager
def service(model: Path) -> Iterator[Running]:
    """Start ``tl serve`` on a free port and stop it at the end."""
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "log"
        command = [sys.executable, "-m", "tl_core", "serve", str(model), "--port", "0", "--quiet"]
        with log.open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            give_up = time.monotonic() + START_SECONDS
            while "Application startup complete" not in (text := log.read_text("utf-8")):
                if process.poll() is not None or time.monotonic() > give_up:
                    raise SystemExit(f"The service did not start: {text}")
                time.sleep(0.1)
            url = next(word for word in text.split() if word.startswith("http://"))
            yield Running(process, url.rstrip(","))
        finally:
            process.terminate()
            process.wait()


@dataclass
class Times:
    """Seconds of each request by a client, and the status of each."""

    seconds: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)


async def ask(
    url: str, bodies: Sequence[bytes], num_clients: int = NUM_CLIENTS
) -> tuple[float, list[float], list[int]]:
    """Send each body once, by clients that keep their connection; return seconds and statuses."""
    times, waiting = Times(), iter(bodies)
    started = time.perf_counter()
    await asyncio.gather(*(_client(url, waiting, times) for _ in range(num_clients)))
    return time.perf_counter() - started, times.seconds, times.statuses


async def _client(url: str, bodies: Iterator[bytes], times: Times, pause: float = 0.0) -> None:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    for body in bodies:
        started = time.perf_counter()
        head = (
            f"POST /predict HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: image/jpeg\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        lowered = answer.lower()
        length = int(lowered.partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        times.seconds.append(time.perf_counter() - started)
        times.statuses.append(int(answer.split(b" ", 2)[1]))
        if pause:
            await asyncio.sleep(max(0.0, pause - times.seconds[-1]))
    writer.close()


async def flood(url: str, photos: Sequence[bytes]) -> dict[str, object]:
    """Compare two steady clients alone with the same beside a flood of bad bytes."""
    rows: dict[str, object] = {"bad_per_second": FLOOD_A_SECOND}
    medians = []
    for is_flooded in (False, True):
        good, bad = Times(), Times()
        num_good = FLOOD_SECONDS * 20  # 20 a second leave the cores time for a flood
        supply = cycle(photos)
        work = [
            _client(url, iter([next(supply) for _ in range(num_good // 2)]), good, pause=0.1)
            for _ in range(2)
        ]
        if is_flooded:
            bodies = cycle(_BAD_BODIES)
            num_bad = FLOOD_SECONDS * FLOOD_A_SECOND // NUM_CLIENTS
            work += [
                _client(
                    url,
                    iter([next(bodies) for _ in range(num_bad)]),
                    bad,
                    pause=NUM_CLIENTS / FLOOD_A_SECOND,
                )
                for _ in range(NUM_CLIENTS)
            ]
        await asyncio.gather(*work)
        medians.append(statistics.median(good.seconds))
        name = "flooded" if is_flooded else "alone"
        rows[name] = {
            "median_ms": round(1000 * medians[-1], 1),
            "p95_ms": round(1000 * statistics.quantiles(good.seconds, n=20)[-1], 1),
            "good_statuses": sorted(set(good.statuses)),
            "bad_statuses": sorted(set(bad.statuses)),
            "bad": len(bad.statuses),
        }
    rows["ratio_of_medians"] = round(medians[1] / medians[0], 3)
    return rows


def memory(running: Running, photos: Sequence[bytes], num_requests: int) -> dict[str, object]:
    """Follow the resident memory over many requests, one in ten of them bad."""
    supply, bad = cycle(photos), cycle(_BAD_BODIES)
    sizes = []
    step = num_requests // 5
    for _ in range(5):
        bodies = [next(bad) if number % 10 == 0 else next(supply) for number in range(step)]
        asyncio.run(ask(running.url, bodies))
        sizes.append(round(running.megabytes(), 1))
    return {"requests": 5 * step, "megabytes": sizes, "growth": round(sizes[-1] / sizes[0], 3)}


if __name__ == "__main__":
    main()
