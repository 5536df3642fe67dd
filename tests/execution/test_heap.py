"""Memory stays between the steps of an effect, and goes back between orders."""

import os
import platform
import subprocess
import sys

import pytest

from farm_cluster.session import worker_environment

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")

COUNT = """
import ctypes, resource, threading

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p

def use():
    block = ctypes.c_void_p(libc.malloc(2**26))
    ctypes.memset(block, 1, 2**26)
    libc.free(block)

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def work():
    use()
    before = faults()
    use()
    print(faults() - before)

def count():
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
"""
"""A thread that uses 64 MiB twice, and prints the page faults of the second time."""

ALL_PAGES = 2**26 // os.sysconf("SC_PAGESIZE")


def run(code: str, **environment: str) -> list[int]:
    command = [sys.executable, "-c", COUNT + code]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    output = subprocess.check_output(command, text=True, env=plain | environment)
    return [int(line) for line in output.split()]


def test_without_more_ado_each_page_is_zeroed_again() -> None:
    (faults,) = run("count()", MALLOC_MMAP_THRESHOLD_="100000")
    assert faults > ALL_PAGES / 2


def test_a_local_worker_keeps_the_memory_of_its_steps() -> None:
    code = """
from farm.execution.threads import LocalExecutor
from farm.host.registry import Registry

LocalExecutor(Registry())
count()
"""
    (faults,) = run(code)
    assert faults < ALL_PAGES / 100


def test_a_worker_on_a_cluster_keeps_the_memory_of_its_steps() -> None:
    (faults,) = run("count()", **worker_environment(1))
    assert faults < ALL_PAGES / 100


def test_an_order_gives_its_memory_back_when_it_ends() -> None:
    code = """
import psutil
from farm.execution.heap import freed_memory_is_given_back, keep_freed_memory

keep_freed_memory()
with freed_memory_is_given_back():
    use()
    print(psutil.Process().memory_info().rss)
print(psutil.Process().memory_info().rss)
"""
    during, after = run(code)
    assert during - after > 0.9 * 2**26
