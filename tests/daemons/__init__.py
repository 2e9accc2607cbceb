"""
Tests of kinds of daemon.
"""
