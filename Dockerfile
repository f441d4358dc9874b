# A static binary and the roots of trust, nothing else.
# It is compiled on the machine's own architecture, for the one that is asked for: emulated, it would take hours.
FROM --platform=$BUILDPLATFORM docker.io/library/rust:1.95-bookworm AS build
ARG TARGETARCH
# For another architecture: its libraries, and what compiles and links C for it.
RUN case "$TARGETARCH" in amd64) machine=x86_64 ;; arm64) machine=aarch64 ;; *) machine=${TARGETARCH:-$(uname -m)} ;; esac \
 && echo "$machine-unknown-linux-gnu" >/target \
 && if [ "$machine" != "$(uname -m)" ]; then \
      apt-get update \
      && apt-get install --yes --no-install-recommends "gcc-$(echo "$machine" | tr _ -)-linux-gnu" "libc6-dev-$TARGETARCH-cross" \
      && rustup target add "$machine-unknown-linux-gnu"; \
    fi
ENV CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc
# What is shipped is the release; tests build faster without its optimisations.
ARG PROFILE=release
ARG REVISION=unknown
WORKDIR /src
COPY . .
# What has been downloaded and compiled is there for the next build. Cargo goes by the time of files, and these may be older than what
# it compiled last. Without a target, macros would be static too, which can't be loaded. Of the cryptography, tables for
# many handshakes a second and AES for AVX-512 are left out: a megabyte, and connections are few and last.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build \
    touch src/main.rs src/lib.rs \
 && target=$(cat /target) \
 && REVISION="$REVISION" AWS_LC_SYS_SMALL=1 \
    RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs" \
    cargo install --locked --path . --root /out --no-track --profile "$PROFILE" --target "$target" --target-dir "/build/$target"

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
