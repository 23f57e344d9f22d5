#!/bin/sh
# Called by udhcpc: puts the lease on the interface.
case $1 in
deconfig)
  ip link set "$interface" up
  ;;
bound | renew)
  ip addr flush dev "$interface"
  ip addr add "$ip/${mask:-24}" dev "$interface"
  [ -n "$router" ] && ip route add default via "${router%% *}"
  : >/run/resolv.conf
  for server in $dns; do echo "nameserver $server" >>/run/resolv.conf; done
  ;;
esac
