"""
Configuration: the text of a file -> a frozen `Config`. Pure, but for `file`, `secrets`.
"""
