# For QEMU's virt machines: as distro.cmd, with the device tree that the machine itself has given to U-Boot.
echo "Replicator: the drive is ${devtype} ${devnum}:${distro_bootpart}"
setenv bootargs "console=ttyAMA0 loglevel=4 @APPEND@"
if load ${devtype} ${devnum}:${distro_bootpart} ${kernel_addr_r} ${prefix}@KERNEL@; then
    if load ${devtype} ${devnum}:${distro_bootpart} ${ramdisk_addr_r} ${prefix}initramfs; then
        @BOOT@ ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdtcontroladdr}
    fi
fi
echo "Replicator: kernel or initramfs cannot be loaded or started"
