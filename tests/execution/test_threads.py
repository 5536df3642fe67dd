"""Workers that are threads of this process."""

import os
import signal
import threading

from farm.execution.threads import ThreadExecutor


def test_poll_returns_although_a_signal_takes_longer_than_its_timeout() -> None:
    executor, timeout, late = ThreadExecutor({}), 0.05, threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: late.wait(4 * timeout))
    sender = threading.Timer(timeout / 5, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        sender.start()
        assert executor.poll(timeout) == []
        sender.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
