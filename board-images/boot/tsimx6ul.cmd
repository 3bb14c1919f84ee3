# For the U-Boot of TS-4100 and TS-7553-V2. It has started USB and set model and loadaddr; baseboardid or variant name the
# device tree. imx_type goes on to the replicator, which compares it with the bootloader's file.
echo "Replicator: TS-${model}"
setenv replicator_tree imx6ul-ts${model}.dtb
if test "${model}" = "4100"; then
    setenv replicator_tree imx6ul-ts4100-${baseboardid}.dtb
fi
if test "${model}" = "7553"; then
    setenv replicator_tree imx6ul-ts7553v2.dtb
    if load usb 0:1 0x82000000 /boot/imx6ul-ts7553v2${variant}.dtb; then
        setenv replicator_tree imx6ul-ts7553v2${variant}.dtb
    fi
fi
setenv bootargs "${cmdline_append} imx_type=${imx_type} @APPEND@"
if load usb 0:1 0x82000000 /boot/${replicator_tree}; then
    if load usb 0:1 ${loadaddr} /boot/zImage; then
        if load usb 0:1 0x83000000 /boot/initramfs; then
            bootz ${loadaddr} 0x83000000:${filesize} 0x82000000
        fi
    fi
fi
echo "Replicator: kernel, device tree ${replicator_tree} or initramfs cannot be loaded or started"
