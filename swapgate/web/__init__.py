"""
What does HTTP see? One module for each surface.
"""
