"""
Pages: the chat at / and the picture of the gateway at /status, as static files.

They hold nothing: what they show and do goes through the gateway's own API, with its
rules. `static` is HTML, one stylesheet and ES modules, served as they are; `files`
prepares them once, `negotiation` decides what of a file a request gets.
"""
