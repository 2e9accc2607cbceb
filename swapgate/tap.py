"""
`twistd swapgate`: its command line, and the only import of the reactor.
"""

import sys
import time
from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from swapgate.config.file import load_config
from swapgate.config.ini import ConfigError
from swapgate.config.options import LOG_FORMATS
from swapgate.continuity.keeper import not_kept
from swapgate.descriptors import raise_limit
from swapgate.net import check_endpoints
from swapgate.service import Swapgate
from swapgate.startup import exit_if_unusable
from swapgate.state_folder import StateFolder


class Options(usage.Options):
    """
    Its command line.
    """

    synopsis = "[options]"
    longdesc = "One OpenAI-compatible port in front of models that do not fit together."
    optParameters = [
        ["config", "c", None, "The configuration file."],
        ["logformat", None, None, "text or json, whatever the configuration says."],
    ]
    optFlags = [["check", None, "Only check the configuration, then exit."]]

    def postOptions(self) -> None:
        from twisted.internet import reactor

        if self["logformat"] not in (None, *LOG_FORMATS):
            raise usage.UsageError(f"--logformat is {' or '.join(LOG_FORMATS)}")
        try:
            self.parsed = load_config(self["config"])
            check_endpoints(self.parsed, reactor)
        except ConfigError as error:
            # A UsageError would print the whole usage around that one line.
            raise SystemExit(str(error)) from None
        if self["check"]:
            count = len(self.parsed.models)
            print(f"{self.parsed.path}: good, {count} model{'' if count == 1 else 's'}")
            for line in not_kept(self.parsed):
                print(line)
            raise SystemExit(0)
        # Before twistd finds the other gateway's pid file, and advises to use another.
        with exit_if_unusable():
            StateFolder(self.parsed.state_dir, None).check_free()


def makeService(options: Options) -> IService:
    """
    The gateway as a service, not started yet.
    """
    from twisted.internet import reactor as default_reactor

    reactor: Any = default_reactor
    # The reactor's clock is the wall clock: a step of it would move every timeout.
    reactor.seconds = time.monotonic
    return Swapgate(
        options.parsed,
        reactor,
        # Each waiting request takes one, and launchd's default is a few hundred.
        descriptors=raise_limit(sys.platform),
        twistd=options.parent,
        logformat=options["logformat"],
    )
