"""
What the README's numbers come from: the gateway against the direct connection.

    python -m benchmarks

Reading order: `rows`, `agent_rows` and `fleet_rows` (what is measured, and what it may
be), `client` (the clock), `processes` (the gateway and the stand-in daemons of
`tests/fake_llama.py`).
"""
