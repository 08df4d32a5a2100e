"""gunicorn for the web process: one process, many threads.

A request spends its time waiting for MongoDB and SQS, so threads do.
`WEB_CONCURRENCY`, gunicorn's own variable, asks for more processes.
"""

from settings import SettingsError, settings

try:
    configured = settings()
except SettingsError as error:
    raise SystemExit(str(error)) from None

# `AUTH=off` lets everybody in, so it stays on this machine; otherwise the process is meant to be reached.
bind = f"{'127.0.0.1' if configured.auth == 'off' else '0.0.0.0'}:{configured.port}"
worker_class = "gthread"
threads = 32
keepalive = 75  # longer than a load balancer's 60, so that it never sends into a connection that we are closing
graceful_timeout = 20
timeout = 120
control_socket_disable = True  # several webs of one user would share one
