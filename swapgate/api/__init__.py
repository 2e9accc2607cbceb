"""
API: what a request means, and its answer.
"""
