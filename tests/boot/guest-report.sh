#!/bin/busybox sh
# The init of the boot tests: says what this guest learnt, in blocks between @begin NAME and @end.
# It writes to the serial port itself: its words do not depend on the kernel's console= option.
PATH=/bin
exec >/dev/ttyS0 2>&1
mount -t proc proc /proc
mount -t sysfs sysfs /sys

block() {
	echo "@begin $1"
	shift
	"$@" 2>&1
	echo "@end"
}

sums() {
	for file in "$1"/*; do
		[ -f "$file" ] && sha256sum "$file"
	done
}

bytes() { od -v -A n -t x1 "$1"; }

nodes() {
	for node in /sys/kernel/boot_params/setup_data/*; do
		[ -f "$node/type" ] && cat "$node/type" && bytes "$node/data"
	done
}

dmesg -n 1
block release uname -r
block cmdline bytes /proc/cmdline
block iomem cat /proc/iomem
block meminfo cat /proc/meminfo
block cpus grep -c ^processor /proc/cpuinfo
block boot_params bytes /sys/kernel/boot_params/data
block setup_data nodes
block files sums /payload
block tables sums /sys/firmware/acpi/tables
block dmesg dmesg
echo "@done"
poweroff -f
