FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app

# Fonts for resumes in scripts beyond Latin, Greek and Cyrillic, which come with the packages.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends fonts-noto-core fonts-noto-cjk \
    && rm -rf /var/lib/apt/lists/*

# What changes seldom comes first: the packages are built anew only when their list changes.
COPY requirements.txt ./
RUN pip install --no-cache-dir --require-hashes -r requirements.txt

COPY . .
# Editable, because `deploy/` and the templates are read from here; it also makes `celery -A tasks <command>` known.
RUN pip install --no-cache-dir --no-deps --no-build-isolation -e . \
    && useradd --system --no-create-home --home-dir /nonexistent pressroom
USER pressroom

EXPOSE 8000
# The other processes are the other lines of the Procfile: `docker run … celery -A tasks worker -Q articles`.
CMD ["gunicorn", "--config", "deploy/gunicorn.conf.py", "web:create_app()"]
