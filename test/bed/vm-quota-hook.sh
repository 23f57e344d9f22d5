#!/bin/sh
# libvirt's qemu hook on a bed's host: puts each QEMU that has started into a cgroup of its own with the bed's quota for VMs.
# Called as: qemu DOMAIN OPERATION SUBOPERATION EXTRA, with the domain's XML on standard input.
# vm-quota.conf says CGROUP (the host's folder), QUOTA_FILE and QUOTA.
cat >/dev/null
. /etc/libvirt/vm-quota.conf
vm="$CGROUP/vm-$1"
case $2 in
started)
  mkdir -p "$vm" && echo "$QUOTA" >"$vm/$QUOTA_FILE" && cat "/run/libvirt/qemu/$1.pid" >"$vm/cgroup.procs"
  ;;
release)
  rmdir "$vm" 2>/dev/null || :
  ;;
esac
