# For the U-Boot of TS-7670 and TS-7400-V2. It has started USB and set model.
echo "Replicator: TS-${model}"
setenv bootargs "${cmdline_append} @APPEND@"
if load usb 0:1 0x41000000 /boot/imx28-ts${model}.dtb; then
    if load usb 0:1 0x40008000 /boot/uImage; then
        if load usb 0:1 0x42000000 /boot/initramfs; then
            bootm 0x40008000 0x42000000:${filesize} 0x41000000
        fi
    fi
fi
echo "Replicator: kernel, device tree imx28-ts${model}.dtb or initramfs cannot be loaded or started"
