#!/bin/sh
# /init of `make demo`: what the guest itself can see of how it was started. Nothing here comes from
# hvmlite but the command line that it was given; every answer is the kernel's.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys

say() { printf '  %-13s %s\n' "$1" "$2"; }

hypervisor() {
	detected=$(dmesg | sed -n 's/.*Hypervisor detected: //p' | head -n 1)
	if [ -r /sys/hypervisor/type ]; then
		echo "$(cat /sys/hypervisor/type) (/sys/hypervisor/type)"
	elif [ -n "$detected" ]; then
		echo "$detected (detected by the kernel)"
	elif grep -q '^flags.* hypervisor' /proc/cpuinfo; then
		echo "Linux names none; the CPUID hypervisor bit is set, as under QEMU's TCG"
	else
		echo "none; the CPUID hypervisor bit is not set"
	fi
}

# struct boot_params, Documentation/arch/x86/boot.rst: type_of_loader is at 0x210. Linux's own PVH
# entry (arch/x86/platform/pvh/enlighten.c) fills in version 2.12 and loader 0xb, or 0x9 under Xen;
# the version of a kernel that came through its bzImage header is that header's.
entry() {
	version=$(cat /sys/kernel/boot_params/version)
	loader=$(hexdump -s 528 -n 1 -e '1/1 "%02x"' /sys/kernel/boot_params/data)
	case "$version/$loader" in
	0x020c/b0 | 0x020c/90) way="PVH: Linux's PVH entry wrote the zero page" ;;
	*) way="Linux's boot protocol: the loader wrote the zero page, or the setup code did" ;;
	esac
	echo "$way (loader 0x$loader, version $version)"
}

ram() {
	total=0
	for range in $(sed -n 's/^\([0-9a-f]*-[0-9a-f]*\) : System RAM$/\1/p' /proc/iomem); do
		total=$((total + 0x${range#*-} - 0x${range%-*} + 1))
	done
	free=$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
	mib=$((total >> 20)).$(((total & 0xfffff) * 10 >> 20))
	echo "$mib MiB in the memory map, $free MiB of it for user space"
}

echo
echo "  This is the guest: user space of a stock kernel. It says:"
echo
say "kernel" "$(uname -sr), $(uname -v)"
say "hypervisor" "$(hypervisor)"
say "entered by" "$(entry)"
say "platform" "$(dmesg | sed -n 's/.*Booting paravirtualized kernel on //p')"
say "command line" "$(cat /proc/cmdline)"
say "RAM" "$(ram)"
say "user space" "after $(sed 's/ .*//' /proc/uptime) s of the guest's clock"
echo
poweroff -f
