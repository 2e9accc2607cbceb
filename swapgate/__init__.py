"""
One OpenAI-compatible port in front of model daemons that do not fit together.

Read in this order. What is decided, without Twisted, clock or I/O: `config` (what did
the user write; `models`, `services`, `access`, `limits`, `words`, `values` and `ini`
below it), `guard` (who may ask), `body` (what is in it; `grammar` below it),
`routing` (what does a request want) and `routes` (which paths run a model), `phases`
(one daemon's life), `plan` (who is loaded, evicted, served), `loads` (how long does
that take), `swaps` (what was swapped lately), `heads` (is this an answer), `sse` (what
stream bytes mean).

What is done about it: `keyfiles` (what nobody else may read), `daemons` (start, stop),
`wire` (bytes that leave at once), `connection` (what comes over one), `upstream` (ask),
`health` (is it up yet), `state` (what outlives a crash), `entries` (what somebody has
who waits or is served), `line` (who waits for one model), `place` (what is known of one
model), `books` (what is written down), `hangups` (who has just given up a load),
`tending` (what is done with one daemon), `scheduler` (who may use which daemon, when),
`stopping` (how it ends), `survey` (how it all stands now), `relay` (bytes back to the
client), `web` (what HTTP sees), `logs` (how an event is written down), `descriptors`
(how many the system grants), `startup` (what is said when it starts), `tap` (how it is
wired; the only import of the reactor).

`engine` is a daemon of our own, for machines without a llama-server, and `demo` what
`etc/demo.cfg` makes of it.
"""
