#!/bin/sh
# The first process of the virtual machine: control groups of version 2 and nothing else, then the tests. It says
# `== passed` if they do.
. /etc/tests
export HOME=/root NO_COLOR=1 RUST_BACKTRACE=0 NACELLE_TEST_REQUIRE_ALL=1
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts devpts /dev/pts; mount -t tmpfs tmpfs /dev/shm; mount -t mqueue mqueue /dev/mqueue; mount -t tmpfs tmpfs /run
ip link set lo up
depmod
for module in overlay bridge veth nf_tables tun; do modprobe "$module"; done

failed() { echo "== failed: $*"; poweroff -f; }
# Whatever nacelle makes is gone.
nothing_is_left() {
  ! ip link | grep -q nac || failed "an interface is left"
  ! grep -q nacelle /proc/mounts || failed "a mount is left"
  [ -z "$(ls /run/nacelle/pods 2>/dev/null)" ] || failed "a network is left"
  [ -z "$(find /sys/fs/cgroup/nacelle -name 'pod*' 2>/dev/null)" ] || failed "a control group is left"
  ! pidof nacelle nacelle-monitor >/dev/null || failed "a process is left"
}

if grep -q security=selinux /proc/cmdline; then
  echo "== labels of SELinux"
  mount -t selinuxfs selinuxfs /sys/fs/selinux
  # The policy is taken in one piece.
  dd if=/srv/policy of=/sys/fs/selinux/load bs=8M 2>/dev/null || failed "the policy was not loaded"
  cd /srv && nacelle run -f selinux.yaml 2>&1 | tr -d '\0' | tee /tmp/out
  grep -qx 'system_u:system_r:initrc_t:s0:c12,c34' /tmp/out || failed "the program has another label"
  for file in / /tmp /dev /dev/shm /dev/mqueue /disk /memory /etc/hosts; do
    grep -qx "system_u:object_r:tmp_t:s0:c12,c34 $file" /tmp/out || failed "$file has another label"
  done
  nothing_is_left
  echo "== passed"
  poweroff -f
fi

echo "== the tests of the kernel's features"
cd /tmp && "$TESTS" --test-threads 4 || failed "tests of the kernel's features"

echo "== nacelle run, as root"
cd /srv && nacelle run -f limited.yaml 2>&1 | tee /tmp/out
grep -q '67108864' /tmp/out || failed "the container does not see its limit"
grep -qx 'root of 0' /tmp/out || failed "the container did not run"
nothing_is_left

echo "== nacelle run, as another user"
su user -c 'cd /srv && nacelle run -f unlimited.yaml' 2>&1 | tee /tmp/out
grep -qx 'root of 1000' /tmp/out || failed "the container did not run"
nothing_is_left

echo "== nacelle run, as another user, with limits"
su user -c 'cd /srv && nacelle run -f limited.yaml' > /tmp/out 2>&1
grep 'without root' /tmp/out || failed "a limit that cannot be held was not refused: $(cat /tmp/out)"
nothing_is_left

echo "== a profile of AppArmor"
mount -t securityfs securityfs /sys/kernel/security
apparmor_parser --skip-cache --replace /srv/apparmor || failed "the profile was not loaded"
nacelle run -f apparmor.yaml 2>&1 | tee /tmp/out
grep -qx 'sample (enforce)' /tmp/out || failed "the program has another profile"
grep -qx allowed /tmp/out && grep -qx forbidden /tmp/out || failed "the profile does not hold"
nothing_is_left

echo "== passed"
poweroff -f
