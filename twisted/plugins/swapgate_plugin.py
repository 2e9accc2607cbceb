"""
Tells twistd that there is a `swapgate` command.
"""

from twisted.application.service import ServiceMaker

swapgate = ServiceMaker(
    "swapgate",
    "swapgate.tap",
    "One OpenAI-compatible port in front of models that do not fit together.",
    "swapgate",
)
