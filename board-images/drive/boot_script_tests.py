"""Runs the boot scripts of the real boards in Debian's U-Boot on an emulated machine, with the variables that the boards' own
U-Boots set. This proves that U-Boot can parse a script, which device tree it loads, and the kernel command line. Addresses
and commands of the real boards cannot be tested: a script loads only a few bytes, and no kernel is started.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import boards
import image

U_BOOT = pathlib.Path("/usr/lib/u-boot/qemu_arm/u-boot.bin")
EMULATOR = "qemu-system-arm"
TIME_SECONDS = 315_532_800
PATIENCE_SECONDS = 300
SCRIPT_ADDRESS = "0x44000000"
# Free RAM of the emulated machine; the real boards use other addresses.
ADDRESSES = {"loadaddr": "0x42000000", "fdtaddr": "0x43000000", "fdt_addr_r": "0x43000000"}

# Board, variables that its U-Boot sets, expected device tree, expected words on the kernel command line.
CASES = [
    ("tsimx6", {"model": "7970", "cpu": "q", "imx_type": "ts7970-q-2g"}, "imx6q-ts7970.dtb", "imx_type=ts7970-q-2g"),
    ("tsimx6", {"model": "4900", "cpu": "dl", "baseboardid": "2"}, "imx6dl-ts4900-2.dtb", "imx_type="),
    ("tsimx6", {"model": "4900", "cpu": "dl", "baseboardid": "63"}, "imx6dl-ts4900.dtb", "imx_type="),
    ("tsimx6", {"model": "7990", "cpu": "q", "pcbrev": "a", "lcd": "lxd"}, "imx6q-ts7990-lxd.dtb", "imx_type="),
    ("tsimx6", {"model": "7990", "cpu": "q", "pcbrev": "b", "lcd": "okaya"}, "imx6q-ts7990-okaya-revb.dtb", "imx_type="),
    ("tsimx6ul", {"model": "4100", "baseboardid": "8", "imx_type": "ts4100-1g"}, "imx6ul-ts4100-8.dtb", "ts4100-1g"),
    ("tsimx6ul", {"model": "7553", "variant": "-x"}, "imx6ul-ts7553v2.dtb", "imx_type="),
    ("tsimx28", {"model": "7400v2"}, "imx28-ts7400v2.dtb", "extra=1"),
    ("ts7800v2", {"board_name": "TS-7800-V2"}, None, "extra=1"),
    ("ts7800v2", {"board_name": "TS-7820"}, "this board is TS-7820", ""),
    ("ts7100", {"fdtfile": "imx6ul-ts7100-1.dtb", "console": "ttymxc0"}, "imx6ul-ts7100-1.dtb", "console=ttymxc0,115200"),
    ("ts7180", {"fdtfile": "imx6ul-ts7180.dtb", "console": "ttymxc0"}, "imx6ul-ts7180.dtb", "console=ttymxc0"),
    ("ts7250v3", {"fdtfile": "imx6ul-ts7250v3.dtb", "console": "ttymxc0"}, "imx6ul-ts7250v3.dtb", "extra=1"),
    ("tsimx9", {"fdtfile": "imx93-ts9370.dtb", "console": "ttyLP0"}, "imx93-ts9370.dtb", "console=ttyLP0"),
    ("qemu-sabrelite", {}, "imx6q-sabrelite.dtb", "console=ttymxc1,115200"),
]
# The only device tree that exists. All others fail to load, and the script prints its error message.
PRESENT = ["boot/imx6dl-ts4900-2.dtb"]


def script(text, directory):
    """A boot script in the format of U-Boot."""
    source, made = directory / "source", directory / "made"
    source.write_text(text)
    command = ["mkimage", "-A", "arm", "-O", "linux", "-T", "script", "-C", "none", "-d", str(source), str(made)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return made.read_bytes()


def console_of(directory):
    """The console of U-Boot while it runs all cases one after the other."""
    files, lines = [(path, b"a device tree") for path in PRESENT], []
    for number, (name, variables, _, _) in enumerate(CASES):
        files.append((f"case{number}", script(boards.load(name).script_text("extra=1"), directory)))
        lines.append(f"echo CASE {number}")
        lines += [f"setenv {key} {value}" for key, value in {**ADDRESSES, **variables}.items()]
        lines += [f"load usb 0:1 {SCRIPT_ADDRESS} /case{number}", f"source {SCRIPT_ADDRESS}"]
        lines += ['echo "BOOTARGS ${bootargs}"', "setenv bootargs"]
        lines += [f"setenv {key}" for key in variables]
    lines += ["echo END", "poweroff"]
    files.append(("boot/boot.scr", script("\n".join(lines) + "\n", directory)))
    image.stage(directory / "files", files)
    image.build(directory / "drive.img", directory / "files", "mbr", "ext4", image.LEN_MIN_BYTES, TIME_SECONDS)
    command = [EMULATOR, "-M", "virt,highmem=off", "-cpu", "cortex-a15", "-m", "512", "-nographic", "-no-reboot", "-nic", "none"]
    command += ["-bios", str(U_BOOT), "-device", "usb-ehci,id=ehci", "-device", "usb-storage,bus=ehci.0,drive=drive"]
    command += ["-drive", f"if=none,id=drive,format=raw,file={directory / 'drive.img'}"]
    end = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=PATIENCE_SECONDS, check=True)
    return end.stdout.decode(errors="replace").replace("\r", "")


@unittest.skipUnless(shutil.which(EMULATOR) and U_BOOT.exists(), "needs qemu-system-arm and u-boot-qemu")
class BootScripts(unittest.TestCase):
    def test_every_script_loads_its_device_tree_and_reports_a_failure(self):
        os.environ["SOURCE_DATE_EPOCH"] = str(TIME_SECONDS)
        with tempfile.TemporaryDirectory() as directory:
            console = console_of(pathlib.Path(directory))
        self.assertIn("\nEND\n", console)
        self.assertNotIn("syntax error", console)
        for number, (name, variables, tree, words) in enumerate(CASES):
            printed = console.split(f"\nCASE {number}\n")[1].split("\nCASE ")[0]
            with self.subTest(board=name, **variables):
                last = [line for line in printed.splitlines() if line.startswith("Replicator: ")][-1]
                self.assertIn(tree or "device tree or initramfs", last)
                arguments = next(line for line in printed.splitlines() if line.startswith("BOOTARGS"))
                self.assertIn(words, arguments)


if __name__ == "__main__":
    unittest.main()
