# The server, as the README builds it, as a user without privileges.
#
#   docker build --tag mles .
#   docker run --publish 443:8443 --volume /etc/mles:/etc/mles:ro --env MLES_KEY \
#       mles --tls-cert /etc/mles/chain.pem --tls-key /etc/mles/private.pem
#
# User 10001 has to be able to read the files. Without a certificate the server makes one and is for its own machine
# only, which here is the container: to try it all the same, publish 8443 and add --env MLES_LISTEN=0.0.0.0.

FROM rust:1-slim-bookworm AS build
WORKDIR /mles
COPY . .
RUN cargo build --release --locked

FROM debian:bookworm-slim
# curl is for the health check: it takes a client that speaks TLS.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends --yes curl \
    && rm -rf /var/lib/apt/lists/* \
    && install --directory --owner=10001 --group=10001 --mode=700 /var/lib/mles
COPY --from=build /mles/target/release/mles /usr/local/bin/mles
USER 10001:10001
# A port that needs no privileges, and where the certificate would be kept that the server makes itself.
ENV MLES_PORT=8443 XDG_DATA_HOME=/var/lib
EXPOSE 8443
# 200, also with as many sessions as it takes. A port given by option is not known here: set MLES_PORT.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["sh", "-c", "exec curl -fsSk -o /dev/null \"https://localhost:$MLES_PORT/healthz\""]
ENTRYPOINT ["/usr/local/bin/mles"]
