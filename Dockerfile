# One image for every process of the service: the compose file gives each its words after `python`.
FROM python:3.12-slim

# No system packages: the wheels of psycopg2, ADBC and TensorStore bring their libraries.
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

RUN useradd --system --create-home --uid 10001 matengine \
    && install --directory --owner=matengine /var/lib/matengine

WORKDIR /srv/matengine
COPY pyproject.toml setup.py README.md LICENSE ./
COPY materializationengine materializationengine
COPY localcave localcave
COPY l1dbproto l1dbproto
RUN pip install .
# Outside the source tree, so that it is the installed package that runs.
WORKDIR /var/lib/matengine

USER matengine
EXPOSE 8000
ENTRYPOINT ["python"]
CMD ["-m", "gunicorn", "--worker-class=gthread", "--workers=1", "--threads=16", "--timeout=120", "--no-control-socket", "--bind=0.0.0.0:8000", "materializationengine.web.app:create_app()"]
