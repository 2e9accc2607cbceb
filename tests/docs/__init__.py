"""
Tests of what the documents and examples promise.
"""
