"""The job: its document and its life, and where both are kept. Knows nothing of Celery."""
