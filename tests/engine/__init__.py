"""
Tests of the engine.
"""
