# One image for every service, the migration and the sandboxes: `docker run IMAGE services.fetcher`.
# The Python is the oldest that is supported, which the tests run on.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS wheels
COPY requirements/app.lock .
# Each file is checked against its hash here; what comes out needs no network any more.
RUN ["python", "-m", "pip", "wheel", "--no-cache-dir", "--no-deps", "--require-hashes", "--requirement", "app.lock", "--wheel-dir", "/wheels"]

FROM python:${PYTHON}-slim-bookworm
# Numeric, so that an orchestrator can see that it isn't root. The directory is the fetcher's, for reads without pages.
RUN ["install", "--directory", "--owner=10001", "--group=10001", "/var/lib/headrace/spool"]
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    python -m pip install --no-cache-dir --no-compile --no-index --no-deps /wheels/*.whl
WORKDIR /app
COPY services services
COPY shared shared
COPY sandboxes sandboxes
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HEADRACE_GATEWAY_HOST=0.0.0.0 \
    HEADRACE_METRICS_HOST=0.0.0.0 \
    HEADRACE_METRICS_PORT=9464
USER 10001:10001
EXPOSE 8080 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9464/readyz', timeout=4)"]
ENTRYPOINT ["python", "-m"]
CMD ["services.cli", "--help"]
