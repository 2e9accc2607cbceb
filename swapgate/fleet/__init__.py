"""
Fleet: which model is up, and who is served when.
"""
