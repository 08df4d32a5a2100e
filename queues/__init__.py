"""Amazon SQS: which queues there are, what travels in them, and how Celery hears of it. Knows nothing of jobs' states."""
