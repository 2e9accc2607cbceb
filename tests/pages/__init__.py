"""
Tests of the pages.
"""
