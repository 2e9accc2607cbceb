"""
Tests of the API.
"""
