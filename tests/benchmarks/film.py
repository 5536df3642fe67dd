"""Measures rendering a film: how busy the workers are, and how memory grows with its length.

    python tests/benchmarks/film.py [--frames 200] [--size 320x240] [--workers 2] [--coherence flow]

The script draws a film and runs `farm dream` on it. Busy: the share of time that rendering workers
hold a frame, from the first ready worker to the end of the job; the time before that, in which the
film is read and planned, is printed separately. Memory: peak resident size of the process until it
reports the result, for films of 20 s and 200 s and a cheap effect.
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
    """Draw moving waves at 25 frames per second."""
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


def busy_share(folder: Path, arguments: argparse.Namespace) -> tuple[float, float, float]:
    """Return the busy share, and the seconds before and after the first worker is ready."""
    width, height = map(int, arguments.size.split("x"))
    film = draw_film(folder / "film.mp4", arguments.frames, width, height)
    words = ["dream", film, "-o", folder / "out.mp4", "--workers", arguments.workers, "--json"]
    words += ["--coherence", arguments.coherence, "--octaves", 3]
    words += ["--iterations", arguments.iterations]
    started = time.perf_counter()
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
    print(f"  the last frame was finished {last - ended:.1f} s before the command exited")
    return busy / arguments.workers / (last - ready), ready - started, last - ready


def peak_bytes(folder: Path, seconds: int) -> int:
    """Return the peak resident size of a job on a film of this length."""
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
        # The result. In the 0.1 s after it, torch reads another 120 MB of its own files to exit.
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
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "effect").mkdir()
        (folder / "effect" / "negative.py").write_text(EFFECT)
        share, before, wall = busy_share(folder, arguments)
        print(
            f"{arguments.frames} frames of {arguments.size} on {arguments.workers} workers: {wall:.0f} s"
        )
        print(
            f"  workers are busy {share:.1%} of that time; {before:.1f} s to read the film and start"
        )
        short, long = peak_bytes(folder / "effect", 20), peak_bytes(folder / "effect", 200)
        print(f"peak memory: {short / 1e6:.0f} MB for 20 s, {long / 1e6:.0f} MB for 200 s")
        print(f"  200 s need {long / short - 1:+.1%}")


if __name__ == "__main__":
    main()
