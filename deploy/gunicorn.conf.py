"""gunicorn for the web process: one process, many threads.

A request spends its time waiting for MongoDB and SQS, so threads do; each open stream of live events has one of its own, which
sleeps. `WEB_CONCURRENCY`, gunicorn's own variable, asks for more processes.
"""

import gc
import select
import signal
from threading import Semaphore, Thread

from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker

from monitoring.logs import configure_logging
from settings import SettingsError, settings

try:
    configured = settings()
except SettingsError as error:
    raise SystemExit(str(error)) from None

# `AUTH=off` lets everybody in, so it stays on this machine; otherwise the process is meant to be reached.
bind = f"{'127.0.0.1' if configured.auth == 'off' else '0.0.0.0'}:{configured.port}"
THREADS_FOR_ANSWERS = 32
STAY_MILLISECONDS = 100  # longer than a program takes from an answer to its next request


class StayingWorker(ThreadWorker):
    """A thread that has answered stays with its connection for a moment: whoever asks again at once finds it there.

    To go back to the loop that watches all connections, and from there to a thread, wakes threads six times; and the loop is
    one thread, which waits for the interpreter as every other does. As many may stay as there are threads for answers, so
    those of open streams are nobody's to wait on.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._may_stay = Semaphore(THREADS_FOR_ANSWERS)

    def handle(self, conn):
        keeps = super().handle(conn)
        if keeps is True and self._may_stay.acquire(blocking=False):
            try:
                while keeps is True and self.alive and _asks_again(conn):
                    keeps = super().handle(conn)
            finally:
                self._may_stay.release()
        return keeps


def _asks_again(conn):
    if conn.is_http2:
        return False
    if conn.parser.unreader.buf.getvalue():
        return True
    watched = select.poll()
    watched.register(conn.sock, select.POLLIN)
    return bool(watched.poll(STAY_MILLISECONDS))


worker_class = StayingWorker
threads = THREADS_FOR_ANSWERS + configured.open_streams  # started as they are needed
worker_connections = 1_000 + threads
keepalive = 75  # longer than a load balancer's 60, so that it never sends into a connection that we are closing
# without SQS the jobs here have their time, too
graceful_timeout = 20 if configured.uses_sqs else 30 + int(configured.shutdown_grace_seconds)
timeout = 120
control_socket_disable = True  # several webs of one user would share one


class LoggerLikeOurs(Logger):
    """What gunicorn says comes out as everything else does, in `LOG_FORMAT`; unless it is told of a file for it."""

    def setup(self, cfg):
        super().setup(cfg)
        if cfg.errorlog == "-":
            self.error_log.handlers.clear()
            self.error_log.propagate = True
            configure_logging()


logger_class = LoggerLikeOurs


def post_worker_init(worker):
    """Nobody waits for messages to be named. At SIGTERM streams end first: gunicorn waits for answers, theirs have no end.

    With `BROKER=none` the jobs that run here are left meanwhile.
    """
    from jobs.naming import naming
    from web import inside  # in the worker only

    naming().start()
    gc.collect()
    gc.freeze()  # what was imported stays: no collection need look at it again
    leave = signal.getsignal(signal.SIGTERM)

    def end_streams_and_leave(number, frame):
        _end_streams()
        inside.begin_to_leave()
        leave(number, frame)

    signal.signal(signal.SIGTERM, end_streams_and_leave)
    signal.siginterrupt(signal.SIGTERM, False)  # as gunicorn has it: answers under way are not disturbed


def worker_int(worker):
    """Ctrl-C: the process can't end before its threads do."""
    _end_streams()


def worker_exit(server, worker):
    """The process ends once its jobs are left."""
    from web import inside

    inside.wait_until_left()


def _end_streams():
    from web.live import live  # in the worker only

    # not in the signal's handler itself: the thread it interrupts may hold the lock that this needs
    Thread(target=live().end, daemon=True).start()
