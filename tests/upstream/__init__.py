"""
Tests of a daemon's HTTP.
"""
