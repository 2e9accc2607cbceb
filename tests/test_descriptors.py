"""
File descriptors: how many are asked for and granted, by value.
"""

import errno
import resource
import subprocess
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.limits import Limits
from swapgate.descriptors import (
    needed,
    process_maximum,
    raise_limit,
    raise_soft,
    within,
)

NO_END = None


def granting(most: int, tried: list[int]) -> Callable[[int], None]:
    """
    A system that refuses more than this many, as macOS and Linux do.
    """

    def set_soft(wanted: int) -> None:
        tried.append(wanted)
        if wanted > most:
            error = OSError(errno.EINVAL, "Invalid argument")
            raise error if wanted % 2 else ValueError(str(error))

    return set_soft


class RaiseSoftTests(SynchronousTestCase):
    """
    From a soft limit to as many as there are.
    """

    def test_raised(self) -> None:
        """
        To the hard limit, or to what the system gives one process; what is refused is
        halved until it is granted.
        """
        for soft, hard, most, grants, tried, has in (
            # Linux.
            (1024, 524288, None, 524288, [524288], 524288),
            (4096, 4096, None, 4096, [], 4096),
            # macOS: its hard limit has no end, which is not granted.
            (256, NO_END, 245760, 245760, [245760], 245760),
            (256, NO_END, 10240, 10240, [10240], 10240),
            (256, NO_END, 24576, 10240, [24576, 12288, 6144], 6144),
            (256, 16640, 10240, 10240, [10240], 10240),
            (256, 16641, None, 10240, [16641, 8320], 8320),
            # A limit that says more than there is.
            (16640, 16640, 10240, 10240, [], 10240),
            (NO_END, NO_END, 10240, 10240, [], 10240),
            # Nothing more is granted.
            (256, 1000, None, 256, [1000, 500], 256),
            # Nothing tells a bound.
            (256, NO_END, None, 2**20, [2**20], 2**20),
        ):
            asked: list[int] = []
            self.assertEqual(raise_soft(soft, hard, most, granting(grants, asked)), has)
            self.assertEqual(asked, tried)

    def test_granted_here(self) -> None:
        """
        What is said to be there is there.
        """
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[0], 512), before[1]))
        for platform in ("linux", "darwin"):
            granted = raise_limit(platform)
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            self.assertGreaterEqual(soft, granted)
            self.assertEqual(hard, before[1])


class ProcessMaximumTests(SynchronousTestCase):
    """
    What macOS gives one process.
    """

    def test_asked(self) -> None:
        """
        The system is asked; where that fails it is what every version gives.
        """
        self.assertIsNone(process_maximum("linux", failing(AssertionError())))
        self.assertEqual(process_maximum("darwin", lambda: "245760\n"), 245760)
        self.assertEqual(process_maximum("darwin", lambda: "unknown oid"), 10240)
        for error in (FileNotFoundError(), subprocess.TimeoutExpired("sysctl", 5)):
            self.assertEqual(process_maximum("darwin", failing(error)), 10240)


def failing(error: Exception) -> Callable[[], str]:
    """
    A question that cannot be asked.
    """

    def fail() -> str:
        raise error

    return fail


class WithinTests(SynchronousTestCase):
    """
    How many clients are let in.
    """

    def test_within(self) -> None:
        """
        Each may need two descriptors.
        """
        for descriptors, connections in (
            (needed(8192), 8192),
            (needed(8192) - 1, 8191),
            (10240, 5096),
            (256, 104),
            (0, 1),
        ):
            limits = within(Limits(max_body_bytes=5), descriptors)
            self.assertEqual(limits.max_connections, connections)
            self.assertEqual(limits.max_body_bytes, 5)
        self.assertEqual(within(Limits(max_connections=7), 10240).max_connections, 7)
