// The tables of the Multiboot Specification 0.6.96 and of the Multiboot2 Specification 2.0 in C, for
// test_against_gcc.py. No Debian package has the documents' own headers, whose names both begin
// alike; unions are written out, as in spec/.
#pragma once
#include <stdint.h>

struct multiboot1_header {
	uint32_t magic, flags, checksum;
	uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
	uint32_t mode_type, width, height, depth;
};

struct multiboot1_info {
	uint32_t flags;
	uint32_t mem_lower, mem_upper;
	uint32_t boot_device;
	uint32_t cmdline;
	uint32_t mods_count, mods_addr;
	uint32_t elf_sec_num, elf_sec_size, elf_sec_addr, elf_sec_shndx;
	uint32_t mmap_length, mmap_addr;
	uint32_t drives_length, drives_addr;
	uint32_t config_table;
	uint32_t boot_loader_name;
	uint32_t apm_table;
	uint32_t vbe_control_info, vbe_mode_info;
	uint16_t vbe_mode, vbe_interface_seg, vbe_interface_off, vbe_interface_len;
	uint64_t framebuffer_addr;
	uint32_t framebuffer_pitch, framebuffer_width, framebuffer_height;
	uint8_t framebuffer_bpp, framebuffer_type;
	uint8_t framebuffer_red_field_position, framebuffer_red_mask_size;
	uint8_t framebuffer_green_field_position, framebuffer_green_mask_size;
	uint8_t framebuffer_blue_field_position, framebuffer_blue_mask_size;
} __attribute__((packed)); // i386 aligns uint64_t to 4 bytes

struct multiboot1_mod_list {
	uint32_t mod_start, mod_end, cmdline, pad;
};

struct multiboot1_mmap_entry {
	uint32_t size;
	uint64_t addr, len;
	uint32_t type;
} __attribute__((packed));

struct multiboot2_header {
	uint32_t magic, architecture, header_length, checksum;
};

struct multiboot2_header_tag {
	uint16_t type, flags;
	uint32_t size;
};

struct multiboot2_header_tag_address {
	uint16_t type, flags;
	uint32_t size;
	uint32_t header_addr, load_addr, load_end_addr, bss_end_addr;
};

struct multiboot2_header_tag_entry_address {
	uint16_t type, flags;
	uint32_t size;
	uint32_t entry_addr;
};

struct multiboot2_header_tag_console_flags {
	uint16_t type, flags;
	uint32_t size;
	uint32_t console_flags;
};

struct multiboot2_header_tag_framebuffer {
	uint16_t type, flags;
	uint32_t size;
	uint32_t width, height, depth;
};

struct multiboot2_header_tag_relocatable {
	uint16_t type, flags;
	uint32_t size;
	uint32_t min_addr, max_addr, align, preference;
};

struct multiboot2_info {
	uint32_t total_size, reserved;
};

struct multiboot2_tag {
	uint32_t type, size;
};

struct multiboot2_tag_module {
	uint32_t type, size;
	uint32_t mod_start, mod_end;
};

struct multiboot2_tag_basic_meminfo {
	uint32_t type, size;
	uint32_t mem_lower, mem_upper;
};

struct multiboot2_tag_mmap {
	uint32_t type, size;
	uint32_t entry_size, entry_version;
};

struct multiboot2_mmap_entry {
	uint64_t addr, len;
	uint32_t type, zero;
};

struct multiboot2_tag_elf_sections {
	uint32_t type, size;
	uint32_t num, entsize, shndx;
};

struct multiboot2_tag_framebuffer {
	uint32_t type, size;
	uint64_t framebuffer_addr;
	uint32_t framebuffer_pitch, framebuffer_width, framebuffer_height;
	uint8_t framebuffer_bpp, framebuffer_type;
	uint16_t reserved;
	uint8_t framebuffer_red_field_position, framebuffer_red_mask_size;
	uint8_t framebuffer_green_field_position, framebuffer_green_mask_size;
	uint8_t framebuffer_blue_field_position, framebuffer_blue_mask_size;
} __attribute__((packed)); // its size field counts no padding

struct multiboot2_tag_load_base_addr {
	uint32_t type, size;
	uint32_t load_base_addr;
};
