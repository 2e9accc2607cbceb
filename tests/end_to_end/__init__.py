"""
Tests of the whole gateway, with real sockets and real processes.
"""
