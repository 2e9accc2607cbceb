"""
Server: one client's connection, from bytes to a checked request.
"""
