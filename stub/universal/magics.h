/* What firmware, and what hands its tables on, marks them with. UEFI 2.10, 4.2; Linux, bootparam.h. */
#ifndef UNIVERSAL_MAGICS_H
#define UNIVERSAL_MAGICS_H

#define EFI_SYSTEM_TABLE	0x5453595320494249	/* "IBI SYST" */
#define EFI_BOOT_SERVICES	0x56524553544f4f42	/* "BOOTSERV" */
#define EL32			0x32334c45	/* efi_info's signature: "EL32" */
#define EL64			0x34364c45

#endif
