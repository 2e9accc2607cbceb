"""
Tests of swapgate.continuity.
"""
