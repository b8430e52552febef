# One image for every process of the service: the compose files and deploy/k8s give each its words after `python`.
FROM python:3.12-slim-trixie AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/matengine
ENV PATH=/opt/matengine/bin:$PATH

WORKDIR /src
# Exactly what was tested, and nothing whose digest is another; `make lock` writes the file.
COPY requirements.lock ./
RUN pip install --require-hashes --requirement requirements.lock
COPY pyproject.toml setup.py README.md LICENSE ./
COPY materializationengine materializationengine
COPY localcave localcave
COPY l1dbproto l1dbproto
# The lock holds the build backend too, so nothing is fetched here.
RUN pip install --no-deps --no-build-isolation .

FROM python:3.12-slim-trixie

# The wheels of psycopg2, ADBC and TensorStore bring their libraries; pg_dump and pg_restore serve `matengine backup`.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql-client \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --create-home --uid 10001 matengine \
    && install --directory --owner=matengine /var/lib/matengine

COPY --from=build /opt/matengine /opt/matengine
ENV PATH=/opt/matengine/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Outside the source tree, so that it is the installed package that runs.
WORKDIR /var/lib/matengine

USER matengine
EXPOSE 8000
# Of the API; whoever runs another process from this image says how that one is asked.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/live', timeout=3)"]
ENTRYPOINT ["python"]
CMD ["-m", "gunicorn", "--worker-class=gthread", "--workers=1", "--threads=16", "--timeout=120", "--no-control-socket", "--bind=0.0.0.0:8000", "materializationengine.web.app:create_app()"]
