"""
Tests of the fleet.
"""
