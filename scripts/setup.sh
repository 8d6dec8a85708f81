# Sourced by ./demo and ./check: installs the Debian packages that are missing. POSIX sh; it
# assumes nothing but dpkg and apt, and asks dpkg first, so that it works offline afterwards.

build_packages="gcc libc6-dev cmake ninja-build pkg-config lua5.4 liblua5.4-dev libuv1-dev
  libsqlite3-dev lua-cjson-dev libcurl4-openssl-dev libopenblas-dev zlib1g-dev libzstd-dev
  liblz4-dev libxxhash-dev libssl-dev libedit-dev libsnappy1v5 libbrotli1
  libxlsxwriter-dev libminizip-dev libexpat1-dev"
check_packages="clang libclang-rt-14-dev lua-check lua-cjson luarocks openssl"

installed() {
  dpkg -s "$1" 2>/dev/null | grep -q '^Status: install ok installed'
}

# set_up PACKAGE...
set_up() {
  if ! command -v dpkg >/dev/null || ! command -v apt-get >/dev/null; then
    echo "This is not a Debian system. flowrun needs what these Debian packages hold:"
    echo "$*" | fold -s -w 90
    command -v cmake >/dev/null && command -v ninja >/dev/null && return 0
    echo "Neither cmake nor ninja is here; install them and try again."
    exit 1
  fi
  missing=""
  for package in "$@"; do
    installed "$package" || missing="$missing $package"
  done
  [ -z "$missing" ] && return 0
  as_root=""
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "Please install, as root:  apt-get install$missing"
      exit 1
    fi
    as_root="sudo"
  fi
  echo "installing$missing"
  $as_root apt-get update -q >/dev/null 2>&1
  # shellcheck disable=SC2086
  if ! DEBIAN_FRONTEND=noninteractive $as_root apt-get install -q -y --no-install-recommends \
    $missing >/dev/null; then
    echo "These packages could not be installed:$missing"
    exit 1
  fi
}

cores() {
  getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2
}
