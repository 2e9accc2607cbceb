"""
Tests of swapgate, run by trial.
"""

from hypothesis import settings

# How long an example takes says more of the machine than of the code.
settings.register_profile("swapgate", deadline=None)
settings.load_profile("swapgate")
