#!/bin/busybox sh
# A reporter in shell, beside the one in stub/report: it needs a busybox in the user's initrd.
PATH=/bin
exec >/dev/ttyS0 2>/dev/null
mount -t proc proc /proc
mount -t sysfs sysfs /sys
dmesg -n 1

hex() { od -v -A n -t x1 "$1" | tr -d ' \n'; }

sums() {
	separator=
	for file in "$1"/*; do
		[ -f "$file" ] || continue
		sum=$(sha256sum "$file")
		echo -n "$separator\"$2$3${file##*/}\":\"${sum%% *}\""
		separator=,
	done
}

nodes() {
	separator=
	for node in /sys/kernel/boot_params/setup_data/*; do
		[ -f "$node/type" ] || continue
		echo -n "$separator{\"type\":$(($(cat "$node/type"))),\"data\":\"$(hex "$node/data")\"}"
		separator=,
	done
}

resources() {
	separator=
	while IFS= read -r line; do
		text="${line#"${line%%[! ]*}"}"
		depth=$(((${#line} - ${#text}) / 2))
		start="${text%%-*}"
		rest="${text#*-}"
		echo -n "$separator[$depth,$((0x$start)),$((0x${rest%% *})),\"${rest#* : }\"]"
		separator=,
	done </proc/iomem
}

line=$(sed 's/\\/\\\\/g; s/"/\\"/g' /proc/cmdline)
memory=$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)
echo "hvmlite-report: {\"schema\":1,\"release\":\"$(uname -r)\",\"machine\":\"$(uname -m)\",\
\"cmdline\":\"$line\",\"boot_params\":\"$(hex /sys/kernel/boot_params/data)\",\
\"setup_data\":[$(nodes)],\"iomem\":[$(resources)],\"memory_kib\":$memory,\
\"cpus\":$(grep -c ^processor /proc/cpuinfo),\"files\":{$(sums /payload /payload/)},\
\"acpi\":{$(sums /sys/firmware/acpi/tables)},\"efi\":false,\"framebuffer\":null,\
\"hypervisor\":null,\"uptime_ms\":0}"
poweroff -f
