#!/bin/bash
# What create-100 is compared with: linked clones by a shell loop over virsh, round robin over the hosts.
# usage: create-loop.sh POOL FOLDER URI...   For each FOLDER/domains/NAME.xml one domain, its disk from FOLDER/volumes/NAME.xml.
set -eu
pool=$1 folder=$2
shift 2
uris=("$@")
count=0
for domain in "$folder"/domains/*.xml; do
  file=${domain##*/}
  uri=${uris[count % ${#uris[@]}]}
  virsh -q -c "$uri" vol-create "$pool" "$folder/volumes/$file" >/dev/null
  virsh -q -c "$uri" define "$domain" >/dev/null
  virsh -q -c "$uri" start "${file%.xml}" >/dev/null
  count=$((count + 1))
done
