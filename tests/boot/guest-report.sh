#!/bin/busybox sh
# The init of the boot tests: says what this guest learnt, in blocks between @begin NAME and @end.
PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys

block() {
	echo "@begin $1"
	shift
	"$@" 2>&1
	echo "@end"
}

initrd_files() {
	for file in /payload/*; do
		[ -f "$file" ] && sha256sum "$file"
	done
}

acpi_tables() {
	for table in /sys/firmware/acpi/tables/*; do
		[ -f "$table" ] && sha256sum "$table"
	done
}

dmesg -n 1
block release uname -r
block cmdline cat /proc/cmdline
block iomem cat /proc/iomem
block meminfo cat /proc/meminfo
block cpus grep -c ^processor /proc/cpuinfo
block boot_params od -v -A n -t x1 /sys/kernel/boot_params/data
block initrd initrd_files
block acpi acpi_tables
block dmesg dmesg
echo "@done"
poweroff -f
