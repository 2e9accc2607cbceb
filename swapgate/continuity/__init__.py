"""
Continuity: conversations survive a swap, as slot snapshots of llama-server's.

Reading order: `keeper` (what the fleet and the api call), `life` (one life of a daemon:
when what is saved and restored), then what these decide by, without I/O: `beginnings`
(which conversation is this), `snapshots` (which to restore, which to delete), `speeds`
(does it pay), `answers` (did it help), `validity` (for which daemon is it good),
`commands` (where a daemon saves). Effects: `slots` (HTTP), `folder` (files).
"""
