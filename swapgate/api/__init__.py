"""
API: what a request means, and its answer.

`resource` dispatches, by the table in `routes`. `openai` finds the model that a body
names; `proxy` leases it and sends the request; `keepalive` tells a held stream of its
wait; `relay` streams the answer (`sse`, `headers` and `stall_timer` are its rules);
`responses` names failures. `admin`, `events` and `status` are what /swapgate/ shows.
`ollama` and its kin translate Ollama's API.
"""
