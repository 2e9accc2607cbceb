"""
Fleet: which model is up, and which request is served when.
"""
