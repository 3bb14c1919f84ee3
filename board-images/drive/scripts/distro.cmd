# For a U-Boot that searches for boot scripts (distro_bootcmd). U-Boot sets devtype, devnum, distro_bootpart and prefix to the
# location of this script, and the load addresses by their usual names.
echo "Replicator: the drive is ${devtype} ${devnum}:${distro_bootpart}"
@PREPARE@
setenv bootargs "@CONSOLE@ loglevel=4 @APPEND@"
if load ${devtype} ${devnum}:${distro_bootpart} ${kernel_addr_r} ${prefix}@KERNEL@; then
    if load ${devtype} ${devnum}:${distro_bootpart} ${fdt_addr_r} ${prefix}${fdtfile}; then
        @OVERLAYS@
        # Loaded last, because ${filesize} is the length of the last file.
        if load ${devtype} ${devnum}:${distro_bootpart} ${ramdisk_addr_r} ${prefix}initramfs; then
            @BOOT@ ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdt_addr_r}
        fi
    fi
fi
echo "Replicator: kernel, device tree ${fdtfile} or initramfs cannot be loaded or started"
