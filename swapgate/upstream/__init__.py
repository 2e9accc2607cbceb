"""
Upstream: one daemon's HTTP.
"""
