"""
swapgate: one port, of OpenAI's, Anthropic's and Ollama's API, for daemons that do not
fit together in memory.

The way of one request, and the order to read in:

    server/site, channel  accept its connection, within bounds and deadlines
    server/request_parser parse its head; server/auth then checks host, origin and API
                          key, server/target the path: all before the body is read
    server/json_body      find `model` and `stream` in the body, a large one in turns
    api/resource          dispatch: own answers, /swapgate/ (api/admin; api/status makes
                          the state), /api/ (api/ollama_resource, which translates), or
                          a model's, by the paths of api/routes
    api/proxy             lease the model, ask, ask again once where a daemon has died;
                          api/keepalive tells the client of the wait, api/responses of
                          an error, such as the 409 of a failed load, both in the words
                          of the API that was asked (api/surfaces)
    fleet/scheduler       queue the request; carry out what fleet/planner decides, which
                          keeps the memory budget and is fair: evict, start, admit
    fleet/supervisor      launch, poll and stop daemons by the means of `daemons`; the
                          state machine of each is the table in fleet/lifecycle;
                          fleet/finder looks for daemons that run already;
                          fleet/handover has continuity/keeper restore conversations
                          before a daemon serves, and save them before its stop
    daemons/processes     is it still the process that listens on its port?
    upstream/client       send the request to the daemon, on a pooled connection
    api/relay             write and flush each token to the client; then api/proxy
                          releases the lease

The layers. Each imports only what stands below it, modules in one row not each other:

    tap                 `twistd swapgate`: its command line, and the only reactor import
    service             composition root: build, start, reload at SIGHUP, stop
    api, startup        what a request means, its answer or error; messages at the start
    server, fleet,      the clients' connections; which model is up, who is served when;
    continuity,         conversations that survive a swap, as snapshots of slots;
    state_folder        what outlives a run, and the orphans of a killed gateway
    daemons, upstream   start, find and stop a daemon, one module for each kind (child,
                        launchd, systemd, command, remote); HTTP with a daemon
    net, descriptors    endpoints, and writes that leave at once; file descriptors
    config,             the file's text to checked, frozen values, all options;
    errors, logs,       API errors and their bodies; the format of the log;
    pages               the chat and the status page: files, and who gets them

`engine` is a llama-server of our own, in a process of its own, and `demo` what
etc/demo.cfg runs. Decisions are values: the modules listed as PURE in tests/gate.py
know no Twisted, no clock and no I/O.
"""
