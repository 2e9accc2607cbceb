"""
Tests of the demo.
"""
