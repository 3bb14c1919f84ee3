# For the U-Boot of TS-4900, TS-7970 and TS-TPC-7990. It has started USB and set model, cpu, imx_type, loadaddr, fdtaddr;
# on the TS-TPC-7990 lcd and pcbrev. imx_type goes on to the replicator, which compares it with the bootloader's file.
echo "Replicator: TS-${model}, ${imx_type}"
setenv replicator_tree imx6${cpu}-ts${model}.dtb
if test "${model}" = "4900"; then
    if load usb 0:1 ${loadaddr} /boot/ts4900-fpga.bin; then
        ice40 ${loadaddr} ${filesize}
    fi
    bbdetect
    if load usb 0:1 ${fdtaddr} /boot/imx6${cpu}-ts4900-${baseboardid}.dtb; then
        setenv replicator_tree imx6${cpu}-ts4900-${baseboardid}.dtb
    fi
fi
if test "${model}" = "7990"; then
    if load usb 0:1 ${loadaddr} /boot/ts7990-fpga.vme; then
        fpga load 0 ${loadaddr} ${filesize}
    fi
    if test "${pcbrev}" = "a"; then
        setenv replicator_tree imx6${cpu}-ts7990-${lcd}.dtb
    else
        setenv replicator_tree imx6${cpu}-ts7990-${lcd}-revb.dtb
    fi
fi
setenv bootargs "${cmdline_append} imx_type=${imx_type} @APPEND@"
setenv replicator_initramfs 0x19000000
if load usb 0:1 ${fdtaddr} /boot/${replicator_tree}; then
    if load usb 0:1 ${loadaddr} /boot/uImage; then
        if load usb 0:1 ${replicator_initramfs} /boot/initramfs; then
            bootm ${loadaddr} ${replicator_initramfs} ${fdtaddr}
        fi
    fi
fi
echo "Replicator: kernel, device tree ${replicator_tree} or initramfs cannot be loaded or started"
