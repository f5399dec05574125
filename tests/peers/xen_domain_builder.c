/* Lets Xen's own domain builder (libxenguest) look at a kernel, as `xl create` would, and stops
   before it asks a hypervisor for anything.

   Usage: xen_domain_builder pv|pvh FILE
   Prints the builder's log on stderr; on stdout the guest type, or nothing if it refuses. */

#include <stdio.h>
#include <string.h>
#include <xenctrl.h>
#include <xenguest.h>
#include <xentoollog.h>

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    xentoollog_logger *log =
        (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_DETAIL, 0);
    xc_interface *xch = xc_interface_open(log, log, XC_OPENFLAG_DUMMY);
    if (!xch)
        return 3;
    struct xc_dom_image *dom = xc_dom_allocate(xch, "", NULL);
    if (!dom)
        return 3;
    if (!strcmp(argv[1], "pvh"))
        dom->container_type = XC_DOM_HVM_CONTAINER;
    /* What a hypervisor says of itself: libxl asks it before. */
    strcpy(dom->xen_caps, "xen-3.0-x86_64 xen-3.0-x86_32p hvm-3.0-x86_32 hvm-3.0-x86_64 ");
    if (xc_dom_kernel_file(dom, argv[2]) || xc_dom_parse_image(dom))
        return 1;
    puts(dom->guest_type);
    return 0;
}
