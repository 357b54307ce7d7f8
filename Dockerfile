# twi-data with Debian's libraries, for a database given by TWI_DATA_DSN and callers by an access file:
#   docker build -t twi-data .
#   docker run -e TWI_DATA_DSN=... -v $PWD/access:/etc/twi-data:ro \
#     -e TWI_DATA_ACCESS_FILE=/etc/twi-data/access.textproto -p 50051:50051 -p 127.0.0.1:9464:9464 twi-data
# Without one it refuses to serve, unless TWI_DATA_INSECURE=true says that whoever reaches it may do all.
# The embedded PostgreSQL is not in the image.
FROM debian:12-slim AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /src
COPY tools/packages tools/packages
RUN apt-get update \
 && awk '!/^#/ && $2 == "" {print $1}' tools/packages \
    | grep -v '^postgresql' \
    | xargs apt-get install --yes --no-install-recommends
COPY . .
RUN cmake --preset release -DBUILD_TESTING=OFF \
 && cmake --build build/release --target twi-data \
 && strip build/release/twi-data

FROM debian:12-slim
LABEL org.opencontainers.image.title="twi-data" \
      org.opencontainers.image.description="gRPC data access over PostgreSQL" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
      ca-certificates libgrpc++1.51 libpq5 libpqxx-6.4 libprotobuf32 \
      libcpp-httplib0.11 libpg-query1504.0 libprometheus-cpp-core1.0 libssl3 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/build/release/twi-data /usr/bin/twi-data
COPY LICENSE NOTICE /usr/share/doc/twi-data/
USER 65532:65532
EXPOSE 50051 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["twi-data", "health"]
ENTRYPOINT ["twi-data"]
CMD ["serve", "--listen=0.0.0.0:50051", "--http_listen=0.0.0.0:9464"]
