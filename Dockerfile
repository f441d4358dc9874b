# A static binary and the roots of trust, nothing else.
FROM docker.io/library/rust:1.95-bookworm AS build
# What is shipped is the release; tests build faster without its optimisations.
ARG PROFILE=release
ARG REVISION=unknown
WORKDIR /src
COPY . .
# What has been downloaded and compiled is there for the next build. Cargo goes by the time of files, and these may be older than what
# it compiled last. Without a target, macros would be static too, which can't be loaded. Of the cryptography, tables for
# many handshakes a second and AES for AVX-512 are left out: a megabyte, and connections are few and last.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/target \
    touch src/main.rs src/lib.rs \
 && target=$(rustc --print host-tuple) \
 && REVISION="$REVISION" AWS_LC_SYS_SMALL=1 \
    RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs" \
    cargo install --locked --path . --root /out --no-track --profile "$PROFILE" --target "$target" --target-dir "/target/$target"

FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="kubernetes-event-exporter" \
      org.opencontainers.image.description="Delivers every Kubernetes Event, in batches, to OpenSearch and other receivers" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/bin/kubernetes-event-exporter /kubernetes-event-exporter
USER 65532:65532
EXPOSE 2112
ENTRYPOINT ["/kubernetes-event-exporter"]
