# shellcheck shell=bash
# What ./run and ./check share.

# The project's folder.
root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
readonly root

# From sysexits.h.
readonly EX_UNAVAILABLE=69

# A heading with the time since the start, minutes:seconds.
step() { printf '[%d:%02d] %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*"; }

# Whether a package is there. Node often comes from elsewhere than Debian: its commands count.
installed() {
  case $1 in
    nodejs) command -v node ;;
    npm) command -v npm ;;
    *) [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]] ;;
  esac >/dev/null
}

# packages run|check: installs what tools/packages lists and this machine lacks. Nothing missing:
# apt is left alone. No right to install: says what to type, and ends.
packages() {
  local name only missing=()
  while read -r name only; do
    [[ $name == '#' || (-n $only && $only != "$1") ]] || installed "$name" || missing+=("$name")
  done <"$root/tools/packages"
  ((${#missing[@]})) || return 0

  step "missing packages: ${missing[*]}"
  local install=(apt-get install --yes --no-install-recommends "${missing[@]}") as_root=()
  if [[ $(id -u) != 0 ]]; then
    if sudo -n true 2>/dev/null; then
      as_root=(sudo -n)
    elif [[ -t 0 ]] && command -v sudo >/dev/null; then
      as_root=(sudo)
    fi
  fi
  if ! command -v apt-get >/dev/null || [[ $(id -u) != 0 && ${#as_root[@]} == 0 ]]; then
    echo "Install them, then start this again:" >&2
    echo "  sudo apt-get update && sudo ${install[*]}" >&2
    exit $EX_UNAVAILABLE
  fi

  step "installing ${#missing[@]} packages"
  as_root+=(env DEBIAN_FRONTEND=noninteractive)
  local log
  log=$(mktemp)
  # Package lists are fetched only when without them, or with old ones, it does not work.
  if ! "${as_root[@]}" "${install[@]}" </dev/null >"$log" 2>&1 &&
    ! { "${as_root[@]}" apt-get update && "${as_root[@]}" "${install[@]}"; } \
      </dev/null >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm "$log"
    echo "This did not work: ${install[*]}" >&2
    exit $EX_UNAVAILABLE
  fi
  rm "$log"
}

# How many compilers may run at once: one a core, each with 0.7 GB of memory.
job_count() {
  local mb limit count
  mb=$(awk '/^MemAvailable:/ {print int($2 / 1024)}' /proc/meminfo)
  # What a container may use, if this is one.
  limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || true)
  if [[ $limit =~ ^[0-9]+$ ]] && ((limit / 1048576 < mb)); then mb=$((limit / 1048576)); fi
  count=$((mb / 700))
  ((count < $(nproc))) || count=$(nproc)
  echo $((count > 0 ? count : 1))
}

# build PRESET TARGET...
build() {
  local preset=$1 quiet=()
  shift
  # Ninja's one moving line is for a terminal; elsewhere it would be a line a file.
  [[ -t 1 ]] || quiet=(-- --quiet)
  # Each time, for it leaves out what it finds no tools for, and they may have come since.
  cmake -S "$root" --preset "$preset" --log-level=WARNING >/dev/null || return
  cmake --build "$root/build/$preset" --parallel "$(job_count)" --target "$@" "${quiet[@]}"
}
