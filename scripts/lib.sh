# Shared by the scripts: packages, build, and the names of things. Sourced, never run.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${ONEBIN_BUILD:-$ROOT/build/release}
say() { printf '== %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

BUILD_PACKAGES=(clang-19 lld-19 cmake ninja-build python3 libboost1.81-dev nlohmann-json3-dev catch2 libnftnl-dev libmnl-dev libnghttp2-dev
  libzstd-dev zlib1g-dev libyaml-cpp-dev libcli11-dev libre2-dev libssl-dev libsqlite3-dev)
RUN_PACKAGES=(runc nftables iproute2 conntrack util-linux procps curl tzdata)
TEST_PACKAGES=(busybox-static python3-yaml docker-registry skopeo socat jq openssl gcc libc6-dev)

# install_packages NAME...: those that are missing. Idempotent; needs root only when something is missing.
install_packages() {
  local missing=() p
  for p in "$@"; do dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p"); done
  [ ${#missing[@]} -eq 0 ] && return
  [ "$(id -u)" = 0 ] || die "these Debian packages are missing: ${missing[*]} (run as root, or: apt-get install ${missing[*]})"
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # A service that a package would start is not wanted here.
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# build_onebin [TARGET...]: the release build; nothing to do when it is up to date.
build_onebin() {
  install_packages "${BUILD_PACKAGES[@]}"
  [ -f "$BUILD/build.ninja" ] || cmake --preset release -S "$ROOT" -B "$BUILD" >/dev/null
  ninja -C "$BUILD" "${@:-onebin}"
}

# cluster_names STATE: what a cluster has outside its state folder. It all carries one id, so that several clusters do not meet and
# scripts/down finds it.
cluster_names() {
  ID=$(printf %s "$1" | sha256sum | cut -c1-6)
  PREFIX=172.31.$((16#${ID:0:2})) BRIDGE=ob$ID RUN=/run/ob$ID CGROUP=/ob$ID
}
