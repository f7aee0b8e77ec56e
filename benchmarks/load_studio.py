"""`python -m benchmarks.load_studio`: many windows at one studio, over loopback, and what became of them.

A studio is started in a process of its own, and windows are opened as browsers open them: a heartbeat, calls, and a
stream of answers. Each draws a code that no other window has, and reads it back from whatever picture comes: from the
answer to its drawing, from what the studio kept of it, and from every picture of a pattern that begins with it. A code
of another window is one picture too many. Every fifth window lets patterns evolve and stops them, again and again.

Then strangers knock (foreign `Host`, foreign `Origin`), and uploads of a gigabyte; all windows are closed, and the
memory is read once more. Nothing is sent to any other address than 127.0.0.1.
"""

import argparse
import asyncio
import base64
import contextlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

MOST_WINDOWS, MOST_SECONDS = 128, 600
EVOLVING = 5  # every so manieth window lets patterns evolve
PAUSE = 1.0  # seconds from one stroke to the next
FREED = 2.0  # seconds after which a stopped job has to be gone
GIGABYTE = 10**9
LEAK = 0.05  # share of the memory that a second crowd may add to what the first one left
PNG = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=]+)")


@dataclass
class Figures:
    """What was seen; times in seconds, memory in bytes."""

    strokes: list[float] = field(default_factory=list)
    pictures: int = 0
    foreign: int = 0
    unread: int = 0
    stops: list[float] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    grown: float = 0.0  # share by which a second crowd left more memory behind than the first
    memory: dict[str, int] = field(default_factory=dict)
    strangers: dict[str, int] = field(default_factory=dict)
    uploads: dict[str, tuple[int, int]] = field(default_factory=dict)

    def failures(self) -> list[str]:
        """The promises that were not kept."""
        slow = max(self.stops, default=0.0)
        wrong = {
            f"{self.foreign} pictures of other windows came": self.foreign > 0,
            f"{self.unread} of {self.pictures} pictures could not be read": self.unread > 0 or not self.pictures,
            f"a stopped job held its worker for {slow:.1f} s": slow > FREED,
            f"a second crowd left {self.grown:.0%} more memory behind than the first": self.grown > LEAK,
            f"{len(self.broken)} calls failed, the first one: {self.broken[:1]}": bool(self.broken),
            f"strangers were answered: {self.strangers}": any(
                not 400 <= code < 500 for code in self.strangers.values()
            ),
            f"uploads went too far: {self.uploads}": any(
                code != 413 or taken > GIGABYTE // 20 for code, taken in self.uploads.values()
            ),
        }
        return [words for words, failed in wrong.items() if failed]

    def told(self) -> str:
        """All of it, a line each."""
        strokes, stops = np.array(self.strokes or [0.0]), np.array(self.stops or [0.0])
        lines = [
            f"strokes read: {len(self.strokes)}; {_spread(strokes)}",
            f"pictures read back: {self.pictures}; of another window {self.foreign}, unreadable {self.unread}",
            f"jobs stopped: {len(self.stops)}; {_spread(stops)}",
            *[f"memory {when}: {held / 2**20:.0f} MiB" for when, held in self.memory.items()],
            *[f"{who}: refused with {code}" for who, code in self.strangers.items()],
            *[
                f"{how}: refused with {code} after {taken / 10**6:.2f} MB"
                for how, (code, taken) in self.uploads.items()
            ],
            f"calls that failed: {len(self.broken)}",
        ]
        return "\n".join(lines)


def _spread(times: np.ndarray) -> str:
    """How long it took."""
    late = np.quantile(times, 0.95)
    return f"median {np.median(times):.2f} s, 95% within {late:.2f} s, slowest {times.max():.2f} s"


def code(number: int) -> str:
    """A drawing that says a number below 256: a frame, and in it 16 cells, the number's bits and their opposites."""
    bits = [number >> place & 1 for place in range(8)]
    cells = np.array([*bits, *[1 - bit for bit in bits]], np.uint8).reshape(4, 4)
    image = np.zeros((112, 112), np.uint8)
    image[16:96, 16:96] = 255
    image[24:88, 24:88] = 255 * np.kron(cells, np.ones((16, 16), np.uint8))
    memory = io.BytesIO()
    Image.fromarray(image).save(memory, "PNG")
    return f"data:image/png;base64,{base64.b64encode(memory.getvalue()).decode('ascii')}"


def number_in(picture: str) -> int | None:
    """The number that a picture of the studio's says, in base64; None where it says none."""
    with Image.open(io.BytesIO(base64.b64decode(picture))) as opened:
        grays = np.asarray(opened.convert("P") if opened.mode != "P" else opened, np.float32)
    lit = grays > (float(grays.min()) + float(grays.max())) / 2
    if not lit.any():
        return None
    rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
    if rows[-1] - rows[0] != 19 or columns[-1] - columns[0] != 19:
        return None
    inside = lit[rows[0] + 2 : rows[0] + 18, columns[0] + 2 : columns[0] + 18]
    cells = (inside.reshape(4, 4, 4, 4)[:, 1:3, :, 1:3].mean((1, 3)) > 0.5).reshape(-1)
    if (cells[:8] == cells[8:]).any():
        return None
    return int((cells[:8] << np.arange(8)).sum())


@contextlib.contextmanager
def studio(*words: str) -> Iterator[tuple[int, int]]:
    """A studio of one's own on a free port: its process and its port. What it says besides goes to our own errors."""
    command = [sys.executable, "-m", "pellucid", "studio", "--port", "0", "--no-open", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        line = ""
        for line in running.stderr:
            if "http://127.0.0.1:" in line:
                break
        else:
            raise RuntimeError(f"The studio did not open: {line}")
        # What follows is passed on, so that the pipe never fills.
        pump = subprocess.Popen(["cat"], stdin=running.stderr, stdout=sys.stderr.fileno())
        try:
            yield running.pid, int(line.partition("127.0.0.1:")[2].partition(";")[0])
        finally:
            running.terminate()
            running.wait(30)
            pump.wait(30)


class Page:
    """What a browser knows of the studio's page: its calls, and what its controls hold at first."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._parts = {part["id"]: part["props"] for part in config["components"]}
        self._calls = {call["api_name"]: call for call in config["dependencies"]}

    def asked(self, name: str, **said: Any) -> dict[str, Any]:
        """A call of this name, what is `said` in place of what the controls with those labels hold."""
        call = self._calls[name]
        parts = [self._parts[part] for part in call["inputs"]]
        data = [said.get(str(part.get("label", "")).lower().replace(" ", "_"), part.get("value")) for part in parts]
        return {"fn_index": call["id"], "trigger_id": call["targets"][0][0], "data": data}


class Window:
    """One window, and its number."""

    def __init__(self, client: httpx.AsyncClient, page: Page, number: int, figures: Figures) -> None:
        self._client, self._page, self.number, self._figures = client, page, number, figures
        self._key = f"window-{number}-{os.urandom(4).hex()}"
        self._beat: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Window":
        self._beat = asyncio.create_task(self._alive())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._beat is not None
        self._beat.cancel()
        with contextlib.suppress(asyncio.CancelledError, httpx.HTTPError):
            await self._beat

    async def draw(self) -> None:
        """Draw the number, and look at what comes back."""
        begun = time.perf_counter()
        answer = await self._run("draw", event_data={"pixels": code(self.number)})
        self._figures.strokes.append(time.perf_counter() - begun)
        self._look(answer[1])

    async def again(self) -> None:
        """Have it read once more, without sending it."""
        async for outputs in self._queued("again"):
            self._look(outputs[1])

    async def evolve(self, watched: float) -> None:
        """Watch a pattern that begins with the number for so long, and stop it."""
        stopped = None
        begun: float | None = None
        said = {"units": str(self.number), "start": "what is drawn", "optimizer": "gradient", "steps": 100_000}
        async for outputs in self._queued("evolve", **said, learning_rate=1e-6):
            if len(outputs) > 1 and isinstance(outputs[1], str) and "portrait" in outputs[1]:
                self._look(outputs[1], f"unit {self.number}</b>")
                begun = time.perf_counter() if begun is None else begun
            if stopped is None and begun is not None and time.perf_counter() - begun >= watched:
                stopped = time.perf_counter()
                await self._run("stop")
        if stopped is not None:
            self._figures.stops.append(time.perf_counter() - stopped)

    async def keep(self) -> None:
        """Keep what is shown, which writes an archive of all that was kept."""
        async for _ in self._queued("keep"):
            pass

    async def upload(self) -> None:
        """Send a file, as one that is dropped on the page."""
        sent = await self._client.post("/gradio_api/upload", files={"files": ("private.txt", b"private")})
        sent.raise_for_status()

    def _look(self, html: str, words: str = "") -> None:
        """Read the number from the first picture."""
        found = PNG.search(html)
        number = None if found is None else number_in(found[1])
        self._figures.pictures += 1
        self._figures.unread += number is None
        self._figures.foreign += (number is not None and number != self.number) or words not in html

    async def _run(self, name: str, **more: Any) -> list[Any]:
        """A call that does not queue."""
        asked = {**self._page.asked(name), **more, "session_hash": self._key}
        answer = await self._client.post("/gradio_api/run/predict", json=asked)
        answer.raise_for_status()
        data: list[Any] = answer.json()["data"]
        return data

    async def _queued(self, name: str, **said: Any) -> AsyncIterator[list[Any]]:
        """A call that queues: its outputs, whenever they change."""
        from gradio_client.utils import apply_diff

        asked = {**self._page.asked(name, **said), "session_hash": self._key}
        (await self._client.post("/gradio_api/queue/join", json=asked)).raise_for_status()
        outputs: list[Any] | None = None
        where = f"/gradio_api/queue/data?session_hash={self._key}"
        async with self._client.stream("GET", where) as events:
            async for line in events.aiter_lines():
                told = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if told.get("msg") not in ("process_generating", "process_completed"):
                    continue
                if not told["success"]:
                    raise RuntimeError(f"{name}: {told['output']}")
                data = told["output"]["data"]
                if outputs is not None and told["msg"] == "process_generating":
                    data = [apply_diff(old, new) for old, new in zip(outputs, data, strict=True)]
                if data:
                    outputs = data
                    yield data
                if told["msg"] == "process_completed":
                    return

    async def _alive(self) -> None:
        """The heartbeat; when it ends, the window is closed."""
        async with self._client.stream("GET", f"/gradio_api/heartbeat/{self._key}") as beats:
            async for _ in beats.aiter_raw():
                pass


async def live(window: Window, until: float, figures: Figures) -> None:
    """What a person does at a window, until then."""
    async with window:
        await asyncio.sleep(PAUSE * (window.number % 10) / 10)
        while time.perf_counter() < until:
            try:
                await window.draw()
                await window.again()
                if window.number % EVOLVING == 0:
                    await window.evolve(PAUSE)
            except (httpx.HTTPError, RuntimeError) as error:
                figures.broken.append(f"window {window.number}: {error!r}")
            await asyncio.sleep(PAUSE)


async def crowd(port: int, process: int, windows: int, seconds: float, after: float, figures: Figures) -> None:
    """All windows at once; the memory before, at its peak, and `after` so many seconds without any."""
    unlimited = httpx.Limits(max_connections=None, max_keepalive_connections=windows)
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", limits=unlimited, timeout=120, trust_env=False
    ) as client:
        page = Page((await client.get("/config")).json())
        figures.memory.setdefault("before", held(process))
        figures.memory.setdefault("at its peak", held(process))
        watch = asyncio.create_task(peak(process, figures))
        until = time.perf_counter() + seconds
        await asyncio.gather(
            *[live(Window(client, page, number, figures), until, figures) for number in range(windows)]
        )
        await asyncio.sleep(after)
        watch.cancel()


async def peak(process: int, figures: Figures) -> None:
    """Watch the memory."""
    while True:
        figures.memory["at its peak"] = max(figures.memory["at its peak"], held(process))
        await asyncio.sleep(0.2)


def held(process: int) -> int:
    """The bytes that a process holds; 0 where the system does not tell."""
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        return 0
    (line,) = [line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def strangers(port: int) -> dict[str, int]:
    """The status that foreign names and foreign pages are refused with."""
    here = f"http://127.0.0.1:{port}"
    asked = {
        "a foreign Host": ("GET", "/", {"host": "evil.example"}),
        "a foreign Origin": ("POST", "/gradio_api/queue/join", {"origin": "http://evil.example"}),
        "a page of another port": ("POST", "/gradio_api/run/predict", {"origin": "http://127.0.0.1:1"}),
        "a picture inside a foreign page": ("GET", "/config", {"sec-fetch-site": "cross-site"}),
    }
    with httpx.Client(base_url=here, trust_env=False) as client:
        return {
            who: client.request(method, path, headers=headers).status_code
            for who, (method, path, headers) in asked.items()
        }


def uploads(port: int) -> dict[str, tuple[int, int]]:
    """The status that a gigabyte is refused with, and the bytes that went out until then."""
    form = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    upload, call = "/gradio_api/upload", "/gradio_api/queue/join"
    files = "Content-Type: multipart/form-data; boundary=x"
    return {
        "1 GB, announced": sent(port, upload, [files, f"Content-Length: {GIGABYTE}"], form),
        "1 GB, in chunks": sent(port, upload, [files, "Transfer-Encoding: chunked"], form),
        "1 GB, in chunks, to a call": sent(
            port, call, ["Content-Type: application/json", "Transfer-Encoding: chunked"]
        ),
    }


def sent(port: int, path: str, headers: list[str], begin: bytes = b"") -> tuple[int, int]:
    """Send a gigabyte until it is refused: the status (0 where the line was cut without one), and the bytes sent."""
    chunked = "Transfer-Encoding: chunked" in headers
    taken = 0
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        line.sendall("\r\n".join([f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *headers, "\r\n"]).encode())
        line.setblocking(False)
        part = begin + bytes(2**16 - len(begin))
        answer = b""
        with contextlib.suppress(ConnectionError):
            while taken < GIGABYTE and not answer:
                line.settimeout(60)
                line.sendall(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
                taken += len(part)
                part = bytes(2**16)
                line.settimeout(0)
                with contextlib.suppress(BlockingIOError):
                    answer = line.recv(4096)
        with contextlib.suppress(OSError):
            line.settimeout(5)
            answer = answer if answer else line.recv(4096)
    return int(answer.split()[1]) if answer.startswith(b"HTTP/") else 0, taken


def load(windows: int = 50, seconds: float = 60, after: float = 30, *, words: tuple[str, ...] = ()) -> Figures:
    """Open so many windows at a studio for so many seconds, and once more; then knock, and see what is left."""
    if not (1 <= windows <= MOST_WINDOWS and 0 < seconds <= MOST_SECONDS):
        raise ValueError(f"{windows} windows for {seconds} s; at most {MOST_WINDOWS} for {MOST_SECONDS} s")
    figures = Figures()
    with studio("--sessions", str(64 + windows), *words) as (process, port):
        asyncio.run(crowd(port, process, windows, seconds, after, figures))
        figures.memory[f"{after:.0f} s after all windows closed"] = first = held(process)
        asyncio.run(crowd(port, process, windows, seconds / 2, after, figures))
        figures.memory["the same after a second crowd, for half as long"] = second = held(process)
        figures.grown = second / first - 1 if first else 0.0
        figures.strangers = strangers(port)
        figures.uploads = uploads(port)
        figures.memory["after the uploads"] = held(process)
    return figures


def main() -> int:
    """Run it as the words say, print the figures, and return 1 where a promise was not kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load_studio", description="Many windows at one studio.")
    parser.add_argument("--windows", type=int, default=50, help="how many (50)")
    parser.add_argument("--seconds", type=float, default=60, help="for how long (60)")
    parser.add_argument("--after", type=float, default=30, help="until the memory is read once more (30)")
    asked = parser.parse_args()
    figures = load(asked.windows, asked.seconds, asked.after)
    print(f"{asked.windows} windows, {asked.seconds:.0f} s\n{figures.told()}")
    failures = figures.failures()
    print("\n".join(f"NOT KEPT: {words}" for words in failures) if failures else "Every promise was kept.")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
