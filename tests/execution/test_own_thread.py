"""What computes outside the workers leaves no threads behind and fails as it would by itself."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from farm.errors import BadParameter
from farm.execution.own_thread import in_own_thread

COUNTING = '''
import os
from pathlib import Path

from farm import Effect, Field, TaskParams, hookimpl


def compute():
    import torch

    torch.set_num_threads(2)
    torch.nn.functional.conv2d(torch.rand(1, 8, 99, 99), torch.rand(8, 8, 3, 3))
    torch.rand(999, 999).sum()


class Count(Effect):
    """Write how many threads the process has while it renders."""
    name = "count"

    class Params(TaskParams):
        checks: bool = False
        count: str = ""

    def check(self, context):
        if self.params.checks:
            compute()

    def render(self, image, context):
        compute()
        Path(self.params.count).write_text(str(len(os.listdir("/proc/self/task"))))
        return image


@hookimpl
def farm_tasks():
    return [Count]
'''


def threads_while_rendering(folder: Path, *flags: str) -> int:
    (folder / "counting.py").write_text(COUNTING)
    count = folder / "count.txt"
    task = ["--plugins-dir", str(folder), "count", "blank:32x24", "-o", str(folder / "out.png")]
    task.append("--overwrite")
    subprocess.run(
        [sys.executable, "-m", "farm", *task, "--threads", "2", "--count", str(count), *flags],
        env=os.environ | {"FARM_LEDGER": str(folder / "ledger.db")},
        capture_output=True,
        check=True,
    )
    return int(count.read_text())


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_a_check_that_computes_leaves_no_second_team_of_threads(tmp_path: Path) -> None:
    alone = threads_while_rendering(tmp_path)
    assert threads_while_rendering(tmp_path, "--checks") == alone


def test_the_thread_ends_with_the_call_and_returns_its_result() -> None:
    thread = in_own_thread(threading.current_thread)()
    assert thread is not threading.current_thread()
    assert not thread.is_alive()


@pytest.mark.parametrize("error", [BadParameter("tile", "too small"), SystemExit(3)])
def test_the_call_raises_what_the_function_raises(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        in_own_thread(fail)()
    assert raised.value is error
