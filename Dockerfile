# syntax=docker/dockerfile:1
# The image of gateway-certificates: one static binary, and the certificates and users of distroless.
#
#     docker build -t ghcr.io/gateway-issuer-policy/gateway-certificates:v0.1.0 .
#
# Versions are pinned here, digests by the publisher of the image. Each platform is built on a machine of
# that platform, or under emulation (docker buildx build --platform linux/amd64,linux/arm64).

FROM rust:1.95.0-slim-bookworm AS build
# The image has the compiler in rust-toolchain.toml. Setting it here keeps rustup from installing the other
# parts that the file lists: the formatter, clippy and the target of the policy's module.
ENV RUSTUP_TOOLCHAIN=$RUST_VERSION
# ring compiles C for the target with musl-gcc from musl-tools.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends musl-tools \
    && rm -rf /var/lib/apt/lists/* \
    && rustup target add "$(uname -m)-unknown-linux-musl"
WORKDIR /src
COPY . .
# Remove paths of the build machine from the binary.
ENV RUSTFLAGS="--remap-path-prefix=/usr/local/cargo=/cargo --remap-path-prefix=/src=."
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p gateway-certificates --target "$(uname -m)-unknown-linux-musl" \
    && cp "target/$(uname -m)-unknown-linux-musl/release/gateway-certificates" /gateway-certificates

FROM gcr.io/distroless/static-debian12:nonroot
LABEL org.opencontainers.image.title="gateway-certificates" \
      org.opencontainers.image.description="Creates and maintains the cert-manager Certificates of annotated Istio Gateways" \
      org.opencontainers.image.source="https://github.com/gateway-issuer-policy/gateway-issuer-policy" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /gateway-certificates /gateway-certificates
# nonroot, as a number, because runAsNonRoot cannot check a name.
USER 65532:65532
# Metrics and health.
EXPOSE 8080 8081
ENTRYPOINT ["/gateway-certificates"]
