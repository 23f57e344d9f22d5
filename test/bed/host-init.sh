#!/bin/sh
# The first program (below tini) of a bed's host, in namespaces of its own: makes the machine look like one of its own,
# starts sshd, and keeps libvirtd running. Called as: host-init.sh HOST_FOLDER HOST_NAME CGROUP_FOLDER_OR_NOTHING
set -eu
host=$1
name=$2
cgroup=$3

mount -t tmpfs -o mode=755,size=64m tmpfs /run
mkdir -p /run/libvirt /run/sshd /run/lock
# libvirtd's unix sockets lie in the bed's folder, so that they can be reached from outside the namespaces.
mount --bind "$host/run" /run/libvirt
if [ -n "$cgroup" ]; then mount --bind "$cgroup" "$host/cgroup"; fi
mount -t sysfs sysfs /sys # that of the new network namespace
mount --bind "$host/etc" /etc/libvirt
for folder in lib log cache; do mount --bind "$host/$folder" "/var/$folder/libvirt"; done
mount --bind "$host/hosts" /etc/hosts
# sshd lets nobody in whose password is locked with a '!', not even with a key.
mount --bind "$host/shadow" /etc/shadow
hostname "$name"

/usr/sbin/sshd -f "$host/sshd_config" -E "$host/sshd.log"

# While the file `hold` is there libvirtd stays down.
while :; do
  while [ -e "$host/hold" ]; do sleep 0.05; done
  /usr/sbin/libvirtd --listen -f "$host/etc/libvirtd.conf" -p "$host/libvirtd.pid" >>"$host/libvirtd.out" 2>&1 || :
  sleep 0.2
done
