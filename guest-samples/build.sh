#!/usr/bin/env bash
# Builds the guest samples into target/guests/<sample>.wasm. See --help; what each sample is: README.md.
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
out=${OUT:-$root/target/guests}
build=$root/target/guest-build   # intermediate files and pinned tools; never needed after a build
toolchain=${GUESTS_TOOLCHAIN:-auto}

rust_commands=(
  attacker counter crasher file-bench fs-torture hello http-client kernels lookup memory-hog net-bench sockets-probe spinner
  tcp-echo-client tcp-echo-server udp-echo
)
# These export functions instead of main; cargo names their files with _ for -.
rust_libraries=(
  http-proxy http-server p3-files p3-hello p3-http p3-pod-worker p3-sockets-probe p3-tcp-echo pod-worker
)
tcp_users=(attacker lookup net-bench sockets-probe tcp-echo-client tcp-echo-server udp-echo)   # of the library tcp
pod_users=(counter http-proxy p3-http p3-pod-worker pod-worker tcp-echo-server)   # of nacelle:pod's bindings
rust=("${rust_commands[@]}" "${rust_libraries[@]}")
python=(python-echo python-worker)
all=("${rust[@]}" c-hello js-hello "${python[@]}")

componentize_py=0.25.1

usage() {
  cat <<USAGE
usage: guest-samples/build.sh [--only NAME[,NAME...]] [--install]

Builds the guest samples whose sources have changed into target/guests (or \$OUT).

  --only NAMES  only these: ${all[*]}
  --install     first install what they need: system packages by apt-get, the Rust target by rustup
  --list        print the samples' names

GUESTS_TOOLCHAIN=auto|rustup|debian chooses the Rust toolchain. auto, the default, is rustup's wasm32-wasip2 target
where it is installed, else Debian's packages cargo-web, rustc-web, rust-web-src and wasi-libc.
USAGE
}

say() { printf 'guests: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
contains() { local wanted=$1 each; shift; for each in "$@"; do [[ $each == "$wanted" ]] && return; done; return 1; }

# --- Options ---------------------------------------------------------------------------------------------------------

install=false
selected=("${all[@]}")
while (($#)); do
  case $1 in
    --only) [[ ${2-} ]] || die "--only needs names: ${all[*]}"; IFS=, read -ra selected <<<"$2"; shift 2 ;;
    --only=*) IFS=, read -ra selected <<<"${1#*=}"; shift ;;
    --install) install=true; shift ;;
    --list) printf '%s\n' "${all[@]}"; exit ;;
    -h | --help) usage; exit ;;
    *) usage >&2; exit 2 ;;
  esac
done
for name in "${selected[@]}"; do
  contains "$name" "${all[@]}" || die "there is no sample $name; there are ${all[*]}"
done
case $toolchain in
  auto | rustup | debian) ;;
  *) die "GUESTS_TOOLCHAIN is auto, rustup or debian, not $toolchain" ;;
esac

# --- What has changed ------------------------------------------------------------------------------------------------

# The inputs of a sample, as one hash: its folder and whatever it shares with others.
stamp() {
  local name=$1
  local inputs=("$name")
  contains "$name" "${rust[@]}" && inputs+=(Cargo.toml Cargo.lock support)
  contains "$name" "${tcp_users[@]}" && inputs+=(tcp)
  contains "$name" "${pod_users[@]}" && inputs+=(pod-bindings pod-async-bindings ../wit)
  {
    contains "$name" "${rust[@]}" && echo "$toolchain"
    sha256sum build.sh
    find "${inputs[@]}" \( -name node_modules -o -name __pycache__ \) -prune -o -type f -print0 | sort -z | xargs -0 sha256sum
  } | sha256sum
}

# Puts a finished file in place in one step, so that nobody who runs the old one sees half of the new.
deliver() {
  local name=$1 file=$2
  install -m 644 "$file" "$out/.$name.partial"
  mv "$out/.$name.partial" "$out/$name.wasm"
  echo "${stamps[$name]}" >"$out/.stamps/$name"
  say "built $name.wasm ($(stat -c %s "$out/$name.wasm") bytes)"
}

mkdir -p "$out/.stamps" "$build"
out=$(cd "$out" && pwd)
cd "$here"
exec 9>"$build/lock"
flock 9

# Taken before anything is built, so that a source changed meanwhile is noticed by the next run.
declare -A stamps
stale=()
for name in "${selected[@]}"; do
  stamps[$name]=$(stamp "$name")
  if [[ ! -f $out/$name.wasm || $(cat "$out/.stamps/$name" 2>/dev/null) != "${stamps[$name]}" ]]; then
    stale+=("$name")
  fi
done
((${#stale[@]})) || { say "up to date in $out"; exit 0; }
is_stale() { contains "$1" "${stale[@]}"; }

stale_rust=()
for name in "${rust[@]}"; do is_stale "$name" && stale_rust+=("$name"); done
stale_python=()
for name in "${python[@]}"; do is_stale "$name" && stale_python+=("$name"); done

# --- Tools -----------------------------------------------------------------------------------------------------------

rust_packages=(cargo-web rustc-web rust-web-src wasi-libc)
c_packages=(clang lld wasi-libc libclang-rt-dev-wasm32)

rustup_target() { has rustc && compgen -G "$(rustc --print target-libdir --target wasm32-wasip2)/libstd-*.rlib" >/dev/null; }

# rustup brings the linker that makes components, also where the target itself is Debian's.
linker_folder() {
  has rustc || return
  echo "$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin"
}

debian_rust() {
  local file
  for file in /usr/bin/cargo /usr/bin/rustc /usr/lib/rustlib/src/rust/library/std/Cargo.toml /usr/lib/wasm32-wasi/libc.a; do
    [[ -e $file ]] || return 1
  done
}

# The first clang that has its run-time library for wasm; without the metapackage, only versioned names exist.
find_clang() {
  local clang
  for clang in clang clang-{22..14}; do
    has "$clang" && [[ -e $("$clang" --target=wasm32-wasi -print-libgcc-file-name) ]] && echo "$clang" && return
  done
  return 1
}
c_tools() { find_clang >/dev/null && [[ -e /usr/lib/wasm32-wasi/libc.a ]] && compgen -G '/usr/bin/wasm-ld*' >/dev/null; }
python_tools() { has python3 && python3 -c 'import venv, ensurepip' 2>/dev/null; }
js_tools() { has npm && has node && (($(node -p 'process.versions.node.split(".")[0]') >= 18)); }

apt_install() {
  local as_root=()
  has apt-get || die "there is no apt-get here; install the equivalents of: $*"
  if ((EUID != 0)); then
    has sudo || die "installing packages needs root; run: apt-get install --no-install-recommends $*"
    as_root=(sudo)
  fi
  say "apt-get install $*"
  "${as_root[@]}" apt-get update -qq >&2 || say "apt-get update failed; going on with what it knew"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# Prefers rustup's target: it is quick to get and newer. Where it cannot be had, Debian's packages serve.
install_rust() {
  if [[ $toolchain != debian ]]; then
    rustup_target && return
    if has rustup; then
      say "rustup target add wasm32-wasip2"
      timeout 120 rustup target add wasm32-wasip2 >&2 && return
    fi
    [[ $toolchain == rustup ]] && die "rustup could not add the target wasm32-wasip2"
  fi
  debian_rust || apt_install "${rust_packages[@]}"
}

if $install; then
  ((${#stale_rust[@]})) && install_rust
  packages=()
  is_stale c-hello && ! c_tools && packages+=("${c_packages[@]}")
  ((${#stale_python[@]})) && ! python_tools && packages+=(python3 python3-venv)
  is_stale js-hello && ! js_tools && packages+=(nodejs npm)
  ((${#packages[@]})) && apt_install "${packages[@]}"
fi

missing() { die "$1 needs $2; install it with: guest-samples/build.sh --install --only $1"; }

# --- Rust ------------------------------------------------------------------------------------------------------------

build_rust() {
  local name bin cargo=cargo arguments=(build --release --locked --target wasm32-wasip2)
  # These would take the place of the target's own flags.
  unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS RUSTC RUSTC_WRAPPER CARGO_BUILD_TARGET
  export CARGO_TARGET_DIR=$build/rust
  if [[ $toolchain != debian ]] && rustup_target; then
    say "Rust by rustup's wasm32-wasip2"
  elif [[ $toolchain == rustup ]]; then
    missing "$1" "rustup's target wasm32-wasip2"
  else
    say "Rust by Debian's packages (the standard library is built along, about a minute)"
    debian_rust || missing "$1" "rustup's target wasm32-wasip2 or the packages ${rust_packages[*]}"
    bin=$(linker_folder)
    [[ -x $bin/wasm-component-ld ]] || die "the linker wasm-component-ld is missing; it comes with Rust from https://rustup.rs"
    # A target folder of its own: two compilers would throw each other's work away.
    CARGO_TARGET_DIR+=-debian
    cargo=/usr/bin/cargo
    arguments+=('-Zbuild-std=std,panic_abort')
    export RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1
    mkdir -p "$CARGO_TARGET_DIR/crt"
    "$RUSTC" --edition 2024 --target wasm32-wasip1 --crate-type lib -O -C panic=abort \
      --emit obj="$CARGO_TARGET_DIR/crt/crt1-command.o" support/crt1.rs
    export CARGO_TARGET_WASM32_WASIP2_LINKER=$bin/wasm-component-ld
    export CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS="-Lnative=$CARGO_TARGET_DIR/crt -Lnative=/usr/lib/wasm32-wasi -Clink-arg=--wasm-ld-path=$bin/gcc-ld/wasm-ld"
  fi
  for name in "$@"; do arguments+=(-p "$name"); done
  "$cargo" "${arguments[@]}" >&2
  for name in "$@"; do
    bin=$name
    contains "$name" "${rust_libraries[@]}" && bin=${name//-/_}
    deliver "$name" "$CARGO_TARGET_DIR/wasm32-wasip2/release/$bin.wasm"
  done
}

# --- C ---------------------------------------------------------------------------------------------------------------

build_c() {
  c_tools || missing c-hello "the packages ${c_packages[*]}"
  "$(find_clang)" --target=wasm32-wasi -std=c11 -Wall -Wextra -Werror -Os -s -o "$build/c-hello.wasm" c-hello/main.c
  deliver c-hello "$build/c-hello.wasm"
}

# --- Python ----------------------------------------------------------------------------------------------------------

build_python() {
  python_tools || missing "$1" "Python 3.10 or newer with its venv module"
  local venv=$build/componentize-py-$componentize_py name module work
  if [[ ! -e $venv/complete ]]; then
    say "componentize-py $componentize_py from PyPI"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "componentize-py==$componentize_py" >&2
    touch "$venv/complete"
  fi
  for name in "$@"; do
    # python-worker is worker.py, with the world worker-command in worker.wit.
    module=${name#python-} work=$build/$name
    # Away from the sources, because Python leaves its compiled files beside them.
    rm -rf "$work" && cp -r "$name" "$work"
    (cd "$work" && "$venv/bin/componentize-py" -q -d "$module.wit" -w "$module-command" componentize "$module" -o "$module.wasm" >&2)
    deliver "$name" "$work/$module.wasm"
  done
}

# --- JavaScript ------------------------------------------------------------------------------------------------------

build_js() {
  js_tools || missing js-hello "Node.js 18 or newer with npm"
  local tools=$build/componentize-qjs
  if ! cmp -s js-hello/package-lock.json "$tools/installed"; then
    say "componentize-qjs from npm"
    mkdir -p "$tools"
    cp js-hello/package.json js-hello/package-lock.json "$tools"
    # Not npm ci: it insists on lock entries for platforms that this version was never published for.
    (cd "$tools" && npm install --no-save --no-audit --no-fund --loglevel=error >&2)
    cp js-hello/package-lock.json "$tools/installed"
  fi
  "$tools/node_modules/.bin/componentize-qjs" --sync --opt-size --wit js-hello/hello.wit --js js-hello/hello.js \
    --output "$build/js-hello.wasm" >/dev/null
  deliver js-hello "$build/js-hello.wasm"
}

# --- All of it -------------------------------------------------------------------------------------------------------

((${#stale_rust[@]})) && build_rust "${stale_rust[@]}"
if is_stale c-hello; then build_c; fi
((${#stale_python[@]})) && build_python "${stale_python[@]}"
if is_stale js-hello; then build_js; fi
