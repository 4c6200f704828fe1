#!/usr/bin/env bash
# Linux containers where control groups are of version 2 only, in a small virtual machine with Debian's kernel: the tests of
# the kernel's features that `cargo test` has run on this machine, then `nacelle run` with root and without, and AppArmor;
# then, with the kernel started anew, SELinux (init.sh).
# It is emulated, because KVM is seldom to be had in a virtual machine, and takes about two minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() {
  [ "${NACELLE_TEST_REQUIRE_ALL:-}" != 1 ] || { echo "$1, and NACELLE_TEST_REQUIRE_ALL=1 asks for every test to run"; exit 1; }
  echo "SKIPPED: control groups of version 2 in a virtual machine: $1"; exit 0
}
[ "$(uname -m)" = x86_64 ] || skip "only for x86_64"
[ "$(id -u)" -eq 0 ] || skip "the files of its disk have owners, which takes root"
for tool in qemu-system-x86_64 mke2fs busybox umoci newuidmap pasta; do
  command -v "$tool" >/dev/null || skip "$tool is not installed"
done

work=target/vm
mkdir -p "$work"
work=$(realpath "$work")

# The kernel, with its modules, and what else is not to be installed on this machine.
kernel=$work/kernel
if ! [ -e "$kernel/complete" ]; then
  rm -rf "$kernel" "$work"/*.deb
  fetch() {
    package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p')
    [ -n "$package" ] || return
    (cd "$work" && apt-get download -q "$package" apparmor attr selinux-policy-default semodule-utils libsepol2)
  }
  # A list that is old names versions that have gone.
  fetch || { apt-get update -q && fetch; } || skip "its kernel cannot be downloaded (linux-image-cloud-amd64)"
  for package in "$work"/*.deb; do dpkg -x "$package" "$kernel"; done
  rm "$work"/*.deb
  touch "$kernel/complete"
fi
version=$(ls "$kernel/lib/modules")

# The programs. All of them are built already where `cargo test --workspace` has run.
tests=$(cargo test --workspace --no-run --locked --message-format json |
  grep -o '"executable":"[^"]*/kernel-[^"]*"' | cut -d '"' -f 4)
bin=$(realpath target/debug)
programs=("$tests" "$bin/nacelle" "$bin/nacelle-monitor" "$bin/nacelle-linux-monitor"
  "$(command -v newuidmap)" "$(command -v newgidmap)" "$(command -v pasta)" "$kernel/sbin/apparmor_parser")

# What the kernel starts: it finds the disk.
initrd=$work/initrd
rm -rf "$initrd" "$work/root" "$work/disk"
mkdir -p "$initrd"/{bin,dev,proc,sys,new}
cp "$(command -v busybox)" "$initrd/bin/"
drivers=(virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk)
for driver in "${drivers[@]}"; do
  find "$kernel/lib/modules" -name "$driver.ko" -exec cp {} "$initrd/" \;
done
cat > "$initrd/init" <<INIT
#!/bin/busybox sh
busybox=/bin/busybox
\$busybox mount -t proc proc /proc; \$busybox mount -t sysfs sys /sys; \$busybox mount -t devtmpfs dev /dev
for driver in ${drivers[*]}; do \$busybox insmod /\$driver.ko; done
until \$busybox test -b /dev/vda; do \$busybox sleep 0.1; done
\$busybox mount -t ext4 /dev/vda /new
for dir in proc sys dev; do \$busybox mount --move /\$dir /new/\$dir; done
exec \$busybox switch_root /new /sbin/init
INIT
chmod +x "$initrd/init"
(cd "$initrd" && find . | busybox cpio -o -H newc 2>/dev/null) > "$work/initrd.cpio"

# Copies what a program ($1) is linked with to where it will be looked for below $2.
copy_libraries() {
  for library in $(ldd "$1" 2>/dev/null | grep -o '/lib[^ ]*'); do
    mkdir -p "$2$(dirname "$library")"
    cp -L "$library" "$2$library"
  done
}

# The disk.
root=$work/root
mkdir -p "$root"/{bin,sbin,proc,sys,dev,run,root,etc,lib/modules,home/user,srv} "$root"/tmp "$root"/usr/bin
chmod 1777 "$root/tmp"
cp "$(command -v busybox)" "$root/bin/"
for applet in $(busybox --list); do [ "$applet" = busybox ] || ln -sf busybox "$root/bin/$applet"; done
ln -s ../bin/busybox "$root/sbin/modprobe"
cp -r "$kernel/lib/modules/$version" "$root/lib/modules/"
for program in "${programs[@]}"; do
  mkdir -p "$root$(dirname "$program")"
  cp -p "$program" "$root$program"
  copy_libraries "$program" "$root"
done
printf 'root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n' > "$root/etc/passwd"
printf 'root:x:0:\nuser:x:1000:\n' > "$root/etc/group"
echo "127.0.0.1 localhost" > "$root/etc/hosts"
echo "nameserver 127.0.0.1" > "$root/etc/resolv.conf"
echo "user:100000:65536" | tee "$root/etc/subuid" > "$root/etc/subgid"
install -m 755 tests/vm/init.sh "$root/sbin/init"
cp tests/vm/*.yaml tests/vm/apparmor "$root/srv/"
sed -e '/resources:/d' tests/vm/limited.yaml > "$root/srv/unlimited.yaml"
# A policy of the types that every policy has; containers have two of them.
busybox bunzip2 -c "$kernel/usr/share/selinux/default/base.pp.bz2" > "$work/base.pp"
LD_LIBRARY_PATH=$(dirname "$(find "$kernel" -name 'libsepol.so.2')") "$kernel/usr/bin/semodule_expand" \
  "$work/base.pp" "$root/srv/policy" >/dev/null
mkdir -p "$root/etc/selinux/sample/contexts"
echo "SELINUXTYPE=sample" > "$root/etc/selinux/config"
printf 'process = "system_u:system_r:initrc_t:s0"\nfile = "system_u:object_r:tmp_t:s0"\n' \
  > "$root/etc/selinux/sample/contexts/lxc_contexts"
printf 'export TESTS=%q PATH=/bin:/sbin:/usr/bin:%q:%q\n' "$tests" "$bin" "$kernel/sbin" > "$root/etc/tests"
# An image of busybox, with the program that shows labels.
rm -rf "$work/image-root"
mkdir -p "$work/image-root"/{bin,tmp,proc,sys,dev,etc}
cp "$(command -v busybox)" "$work/image-root/bin/"
for applet in sh cat echo; do ln -sf busybox "$work/image-root/bin/$applet"; done
cp "$kernel/usr/bin/getfattr" "$work/image-root/bin/"
copy_libraries "$kernel/usr/bin/getfattr" "$work/image-root"
umoci init --layout "$root/srv/image" && umoci new --image "$root/srv/image:1"
umoci insert --image "$root/srv/image:1" "$work/image-root" /
umoci gc --layout "$root/srv/image" >/dev/null
chmod -R a+rX "$root/srv"
chown -R 0:0 "$root"
chown -R 1000:1000 "$root/home/user"
chmod u+s "$root$(command -v newuidmap)" "$root$(command -v newgidmap)"
mke2fs -q -t ext4 -d "$root" "$work/disk" 2g
rm -rf "$root" "$work/image-root"

boot() {
  timeout 900 qemu-system-x86_64 -accel tcg -m 2048 -smp 2 -nographic -no-reboot -nodefaults -serial stdio \
    -kernel "$kernel"/boot/vmlinuz-* -initrd "$work/initrd.cpio" -append "console=ttyS0 quiet panic=-1 $1" \
    -drive "file=$work/disk,if=virtio,format=raw,cache=unsafe" </dev/null 2>&1 | tee "$work/log" |
    tr -d '\r' | sed -n '/^== /,$p' || true
  grep -aq '^== passed' "$work/log" && return
  echo "the virtual machine's tests failed; all of its output is in $work/log"
  exit 1
}
boot security=apparmor
boot security=selinux
rm -f "$work/disk"
