"""The Celery app (`celery -A tasks …`) and a module for each kind of job."""

from tasks.application import app

__all__ = ["app"]
