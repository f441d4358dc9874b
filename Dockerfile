# A static binary and the roots of trust, nothing else.
FROM rust:1.95-bookworm AS build
ARG TARGETARCH
ARG REVISION=unknown
WORKDIR /src
# Dependencies first: they are built again only when they change.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src benches tests/it && echo 'fn main() {}' > src/main.rs && touch src/lib.rs tests/it/main.rs \
 && for bench in pipeline watch_to_ack; do echo 'fn main() {}' > benches/$bench.rs; done \
 && case "$TARGETARCH" in arm64) echo aarch64 ;; *) echo x86_64 ;; esac > /arch \
 && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "$(cat /arch)-unknown-linux-gnu"
COPY src src
COPY deploy/opensearch deploy/opensearch
RUN touch src/main.rs src/lib.rs \
 && REVISION="$REVISION" RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --release --locked --target "$(cat /arch)-unknown-linux-gnu" \
 && cp "target/$(cat /arch)-unknown-linux-gnu/release/kubernetes-event-exporter" /kubernetes-event-exporter

FROM scratch
LABEL org.opencontainers.image.title="kubernetes-event-exporter" \
      org.opencontainers.image.description="Delivers every Kubernetes Event, in batches, to OpenSearch and other receivers" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /kubernetes-event-exporter /kubernetes-event-exporter
USER 65532:65532
EXPOSE 2112
ENTRYPOINT ["/kubernetes-event-exporter"]
