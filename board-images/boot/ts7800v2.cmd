# For the U-Boot of the TS-7800-V2, which has started USB and set board_name.
if test "${board_name}" = "TS-7800-V2"; then
    setenv bootargs "${bootargs} @APPEND@"
    if load usb 0:1 ${fdt_addr_r} /boot/armada-385-ts7800-v2.dtb; then
        if load usb 0:1 ${kernel_addr_r} /boot/zImage; then
            if load usb 0:1 ${ramdisk_addr_r} /boot/initramfs; then
                bootz ${kernel_addr_r} ${ramdisk_addr_r} ${fdt_addr_r}
            fi
        fi
    fi
    echo "Replicator: kernel, device tree or initramfs cannot be loaded or started"
else
    echo "Replicator: this drive is for the TS-7800-V2, and this board is ${board_name}"
fi
