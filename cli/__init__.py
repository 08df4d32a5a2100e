"""The commands `celery -A tasks …`, thin: what they do is in the packages below."""
