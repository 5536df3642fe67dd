"""What a film costs: how busy its workers are, and its memory as it grows longer.

    python tests/benchmarks/film.py [--frames 200] [--size 320x240] [--workers 2] [--coherence flow]

A film is drawn here and dreamt by the command. Busy: the share of the time from the first worker
that is ready to the end of the job in which rendering workers hold a frame; reading the film
before it is planned comes before that and is told apart. Memory: peak resident size of the
process, until it says how the job ended, of 20 s and of 200 s of a cheap effect's film.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import av
import numpy as np
import psutil

EFFECT = '''
from farm import Effect, hookimpl


class Negative(Effect):
    """Photographic negative."""

    name = "negative"

    def render(self, image, context):
        return 1 - image


@hookimpl
def farm_tasks():
    return [Negative]
'''


def draw_film(path: Path, frames: int, width: int, height: int) -> Path:
    """Draw moving waves, 25 frames a second."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            waves = np.sin((columns + 3 * number) / 17) + np.cos((rows - number) / 11)
            picture = np.stack([waves, waves * 0.6, -waves], axis=2) * 60 + 128
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture.astype(np.uint8))))
        container.mux(stream.encode(None))
    return path


def command(folder: Path, *words: object) -> list[str]:
    return [sys.executable, "-m", "farm", "--plugins-dir", str(folder), *map(str, words)]


def busy_share(folder: Path, given: argparse.Namespace) -> tuple[float, float, float]:
    """Return the busy share, and the seconds before and from the first worker's being ready."""
    width, height = map(int, given.size.split("x"))
    film = draw_film(folder / "film.mp4", given.frames, width, height)
    words = ["dream", film, "-o", folder / "out.mp4", "--workers", given.workers, "--json"]
    words += ["--coherence", given.coherence, "--iterations", given.iterations, "--octaves", 3]
    began = time.perf_counter()
    ready, since, busy = 0.0, dict[str, float](), 0.0
    with subprocess.Popen(command(folder, *words), stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout
        for line in job.stdout:
            event, now = json.loads(line), time.perf_counter()
            if event["event"] != "worker" or event["kind"] == "finish":
                continue
            ready = ready or now
            if event["state"] == "busy":
                since[event["worker"]] = now
            elif event["worker"] in since:
                busy += now - since.pop(event["worker"])
            ended = now
        last = time.perf_counter()
    assert job.returncode == 0
    print(f"  the last frame ended {last - ended:.1f} s before the command")
    return busy / given.workers / (last - ready), ready - began, last - ready


def peak_bytes(folder: Path, seconds: int) -> int:
    """Return the peak resident size of a job on a film of so many seconds."""
    film = draw_film(folder / f"{seconds}.mp4", seconds * 25, 320, 240)
    words = ["negative", film, "-o", folder / f"{seconds}-out.mp4", "--threads", 1]
    peak = 0
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command(folder, *words), **pipes) as job:
        assert job.stdout
        process, ended = psutil.Process(job.pid), threading.Event()

        def watch() -> None:
            nonlocal peak
            while not ended.wait(0.05):
                try:
                    peak = max(peak, process.memory_info().rss)
                except psutil.NoSuchProcess:
                    return

        watcher = threading.Thread(target=watch)
        watcher.start()
        # The last word. In the 0.1 s after it, ending torch reads 120 MB more of its own files.
        job.stdout.read(1)
        ended.set()
        watcher.join()
    assert job.returncode == 0
    return peak


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--size", default="320x240")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--coherence", default="none")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "effect").mkdir()
        (folder / "effect" / "negative.py").write_text(EFFECT)
        share, before, wall = busy_share(folder, given)
        print(f"{given.frames} frames of {given.size} on {given.workers} workers: {wall:.0f} s")
        print(f"  workers are busy {share:.1%} of it; {before:.1f} s to read the film and to start")
        short, long = peak_bytes(folder / "effect", 20), peak_bytes(folder / "effect", 200)
        print(f"peak memory: {short / 1e6:.0f} MB for 20 s, {long / 1e6:.0f} MB for 200 s")
        print(f"  200 s take {long / short - 1:+.1%}")


if __name__ == "__main__":
    main()
