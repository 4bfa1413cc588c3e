# solovs in a container. The executable needs nothing but glibc.
#
#   docker build -t solovs .
#   docker run -d --name solovs --network host --cap-drop ALL \
#     --cap-add NET_ADMIN --cap-add NET_RAW --cap-add BPF --cap-add PERFMON \
#     --device /dev/net/tun -v /sys/fs/bpf:/sys/fs/bpf \
#     -v /var/run/openvswitch:/run/openvswitch -v /var/lib/solovs:/var/lib/solovs \
#     solovs
#
# What each is for: NET_ADMIN attaches devices, makes internal ports and changes links; NET_RAW opens
# packet sockets; BPF and PERFMON load the programs that forward in the kernel, which are pinned in
# /sys/fs/bpf (docs/ebpf.md; without PERFMON or that directory solovs forwards in user space, or until
# it ends, and logs so; kernels before 5.8 need SYS_ADMIN for both); /dev/net/tun makes internal ports.
# The host network is where the devices are; the two last volumes hold the sockets (stock clients on
# the host find them there) and the configuration, which goes with the container otherwise.
#
# The base images can be replaced where Docker Hub is out of reach:
#   docker build --build-arg BUILD_IMAGE=... --build-arg BASE_IMAGE=... -t solovs .
ARG BUILD_IMAGE=node:22-bookworm-slim
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc compile.sh ./
RUN ./compile.sh --install-only
COPY tsconfig.json main.ts ./
COPY src src
RUN ./compile.sh

FROM ${BASE_IMAGE}
COPY --from=build /build/dist/solovs /usr/local/bin/solovs
COPY LICENSE /usr/share/doc/solovs/LICENSE
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/solovs"]
CMD ["run"]
