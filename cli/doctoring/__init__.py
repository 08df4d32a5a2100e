"""What `celery -A tasks doctor` looks at: a function for each check, in modules by what they look at."""
