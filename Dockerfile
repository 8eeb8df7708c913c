# syntax=docker/dockerfile:1
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev libssl-dev pkg-config \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /doorward
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=target \
    cargo build --release --locked \
 && install -D target/release/doorward /out/doorward

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libssl3 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /var/lib/doorward doorward \
 && install -d -o doorward -m 0700 /var/lib/doorward/data /var/lib/doorward/keys
COPY --from=build /out/doorward /usr/local/bin/doorward
USER doorward
WORKDIR /var/lib/doorward
# The database is another container's: this image has no PostgreSQL, so DATABASE_URL must be set.
ENV DOORWARD_LISTEN=0.0.0.0:8080 \
    DOORWARD_DATA_DIR=/var/lib/doorward/data \
    DOORWARD_KEYS_DIR=/var/lib/doorward/keys
VOLUME ["/var/lib/doorward/data", "/var/lib/doorward/keys"]
EXPOSE 8080
# Alive, not ready: a database that is away is no reason to kill the server. bash speaks the HTTP, so nothing is installed for it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /healthz HTTP/1.1\\r\\nhost: localhost\\r\\nconnection: close\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["doorward"]
CMD ["serve"]
