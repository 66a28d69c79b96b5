# One image for all services: migrate, crawler, worker, scheduler, web.
# docker build .                             the image
# docker build --target newsmill-render .    with Chromium, for sources with render = "auto" or "always"
FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements.lock ./
RUN python3 -m venv /opt/newsmill && /opt/newsmill/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY newsmill newsmill
COPY crawler crawler
COPY workers workers
COPY tests/newspaper tests/newspaper
RUN /opt/newsmill/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim AS base
# Scrapy verifies certificates, and slim images have no root certificates.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --create-home --home-dir /home/newsmill newsmill \
 && mkdir -p /data /config && chown newsmill:newsmill /data
COPY --from=build /opt/newsmill /opt/newsmill
ENV PATH=/opt/newsmill/bin:$PATH PYTHONUNBUFFERED=1 NEWSMILL_DATA=/data NEWSMILL_CONFIG=/config
USER newsmill
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM
ENTRYPOINT ["newsmill"]
CMD ["--help"]

FROM build AS build-render
COPY requirements-render.lock ./
RUN /opt/newsmill/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements-render.lock && /opt/newsmill/bin/pip check

FROM base AS newsmill-render
USER root
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium && rm -rf /var/lib/apt/lists/*
COPY --from=build-render /opt/newsmill /opt/newsmill
USER newsmill

FROM base AS newsmill
