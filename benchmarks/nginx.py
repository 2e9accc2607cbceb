"""
nginx as a mark: what a proxy in C adds to the same daemon. Left out where it is not
installed.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.processes import free_port, stop, until_healthy

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONFIG = """
daemon off;
master_process off;
error_log stderr;
pid {folder}/pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream daemon {{ server 127.0.0.1:{daemon}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port};
        keepalive_requests 1000000;
        location / {{
            proxy_pass http://daemon;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""


@contextmanager
def nginx(daemon_port: int) -> Iterator[int | None]:
    """
    The port of an nginx before this daemon; None without one.
    """
    # Debian has it where only root's PATH looks.
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="swapgate-nginx-") as folder:
        port = free_port()
        config = Path(folder, "nginx.conf")
        text = _CONFIG.format(folder=folder, port=port, daemon=daemon_port)
        config.write_text(text)
        process = subprocess.Popen([binary, "-p", folder, "-c", str(config)])
        try:
            until_healthy(port)
            yield port
        finally:
            stop(process)
