"""The scenarios of `celery -A tasks verify`: what goes wrong in a fleet's life, played on ground of their own."""
