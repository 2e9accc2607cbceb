"""
What the README's numbers come from: the gateway against the direct connection.

    python -m benchmarks [--only ROW ...] [--against COMMIT]

With --against another commit is measured as well, in turns with the checkout.

Reading order: `rows`, `agent_rows`, `fleet_rows`, `ollama_rows` (what is measured, and
what it may be), `client` (the clock), `processes` (the gateway and the stand-in daemons
of `tests/fake_llama.py`), `install` (another commit).
"""
