"""Checks the output of the drive builder with independent programs."""

import json
import os
import pathlib
import random
import subprocess
import tempfile
import unittest

import boards
import image
import initramfs
from cpio import Archive
from kernel import Kernel, KernelError, run

TIME_SECONDS = 315_532_800


def output(*command, **options):
    """The output of a program; if the program fails, the test fails."""
    environment = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "TZ": "UTC", "LC_ALL": "C"}
    end = subprocess.run([str(word) for word in command], check=True, capture_output=True, env=environment, **options)
    return end.stdout


class WithDirectory(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def put(self, path, content):
        path = self.directory / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path


class Cpio(WithDirectory):
    def test_cpio_lists_the_entries_that_were_added(self):
        archive = Archive(TIME_SECONDS)
        archive.file("a/b/program", b"12345", 0o755)
        archive.symlink("a/link", "b/program")
        archive.character_device("dev/console", 5, 1)
        archive.directory("tmp", 0o1777)
        lines = output("cpio", "-tv", "--quiet", input=archive.bytes()).decode().splitlines()
        listed = {line.split(" -> ")[0].split()[-1]: line for line in lines}
        self.assertEqual(list(listed), ["a", "a/b", "a/b/program", "a/link", "dev", "dev/console", "tmp"])
        self.assertTrue(listed["a/b/program"].startswith("-rwxr-xr-x   1 root     root            5 Jan  1  1980"))
        self.assertRegex(listed["dev/console"], r"^crw------- .* 5, +1 ")
        self.assertTrue(listed["tmp"].startswith("drwxrwxrwt"))
        self.assertTrue(listed["a/link"].endswith("a/link -> b/program"))
        (self.directory / "out").mkdir()
        output("cpio", "-id", "--quiet", "a/*", input=archive.bytes(), cwd=self.directory / "out")
        self.assertEqual((self.directory / "out/a/link").read_bytes(), b"12345")

    def test_paths_that_leave_the_root_or_collide_are_refused(self):
        archive = Archive(TIME_SECONDS)
        archive.file("a", b"")
        for path in ["../b", "c/../d", "", "/", "e//f", "a", "a/b"]:
            with self.subTest(path), self.assertRaises(ValueError):
                archive.file(path, b"")


class Boards(WithDirectory):
    def test_the_script_of_every_board_is_complete(self):
        for name in boards.names():
            board = boards.load(name)
            if board.loader == "none":
                continue
            with self.subTest(name):
                text = board.script_text("extra=1")
                words = text.split()
                self.assertEqual(words.count("if"), words.count("fi"))
                self.assertIn(" extra=1", text)
                loads_wrapped = "bootm" in words or board.initramfs == "uboot"
                self.assertEqual(board.kernel == "uImage", "bootm" in words)
                # U-Boot needs the length of a raw initramfs; a U-Boot header contains it.
                if not loads_wrapped:
                    self.assertIn(":${filesize} ", text)

    def test_variants_are_drives_of_one_profile(self):
        self.assertEqual([boards.load(f"qemu-virt-{variant}").profile for variant in ("armv7", "arm64")], ["qemu-virt"] * 2)
        with self.assertRaisesRegex(boards.BoardError, "no drive can be made for 'qemu-virt'; .*qemu-virt-arm64"):
            boards.load("qemu-virt")

    def test_one_more_file_is_one_more_board(self):
        for path in boards.DIRECTORY.glob("*.toml"):
            self.put(f"boards/{path.name}", path.read_bytes())
        new = (boards.DIRECTORY / "ts7100.toml").read_text().replace("ts7100", "newboard")
        self.put("boards/newboard.toml", new.encode())
        directory = self.directory / "boards"
        self.assertEqual(set(boards.names(directory)), {*boards.names(), "newboard"})
        self.assertEqual(boards.load("newboard", directory).dtbs, ["imx6ul-newboard-*.dtb"])
        self.put("boards/broken.toml", b"[drive]\nkernel = 3\n")
        self.assertEqual(boards.load("newboard", directory).kernel, "zImage")

    def test_an_error_in_a_table_is_reported_with_its_key(self):
        good = '[drive]\nstarts = "x"\narchitecture = "armv7"\nkernel = "zImage"\ntemplate = "distro.cmd"\nscripts = ["boot.scr"]\n'
        boards.parse("x", good)
        for wrong, message in [
            (good + "kernal = 1", "kernal"),
            (good.replace("zImage", "vmlinux"), "kernel is 'vmlinux'"),
            (good.replace("zImage", "uImage"), "load_address"),
            (good + 'load_address = "0x1"', "load_address"),
            (good.replace('template = "distro.cmd"\n', ""), "either boot_script or template"),
            (good + 'boot_script = "boot"', "either boot_script or template"),
            (good + 'loader = "none"', "runs no boot script"),
            (good + "[drive.variant]\na = 3", "x.toml"),
            (good.replace('architecture = "armv7"\n', ""), "architecture"),
            ("drive = 3", "x.toml"),
            ("kernel = ", "x.toml"),
        ]:
            with self.subTest(wrong), self.assertRaisesRegex(boards.BoardError, message):
                boards.parse("x", wrong)
        for values, message in [("", "CONSOLE"), ('[drive.values]\nNAME = "a"', "no @NAME@")]:
            with self.subTest(values), self.assertRaisesRegex(boards.BoardError, message):
                boards.parse("x", good + values)[0].script_text("")
        with self.assertRaisesRegex(boards.BoardError, "no template absent"):
            boards.parse("x", good.replace("distro", "absent"))[0].script_text("")


class Modules(WithDirectory):
    def module(self, path, source):
        object_file = self.directory / "module.o"
        output("gcc", "-c", "-x", "c", "-o", object_file, "-", input=source.encode())
        content = object_file.read_bytes()
        packed = output("xz", "--check=crc32", "-c", input=content) if path.endswith(".xz") else content
        self.put(f"in/lib/modules/1.2.3/kernel/{path}", packed)
        return content

    def setUp(self):
        super().setUp()
        info = '__attribute__((section(".modinfo"), used)) static const char i[] = "{}";'
        exported = '__attribute__((section("__ksymtab_strings"), used)) static const char s[] = "shared"; int shared;'
        self.low = self.module("z/low.ko.xz", exported + "int __crc_shared;")
        self.module("soft.ko", info.format("license=GPL"))
        self.module("high.ko", "extern int shared; int *user = &shared;" + info.format("softdep=pre: soft"))
        self.put("in/lib/modules/1.2.3/modules.builtin", b"kernel/fs/inside.ko\n")
        self.put("in/lib/modules/1.2.3/modules.order", b"")
        self.kernel = Kernel.of_directory(self.directory / "in", self.directory / "work")

    def test_modules_and_their_dependencies_are_listed_in_load_order_uncompressed(self):
        files, missing = self.kernel.module_files(["high"], ["inside", "absent", "low"])
        names = [place.rsplit("/", 1)[1] for place, _ in files]
        self.assertEqual(sorted(names), ["high.ko", "low.ko", "soft.ko"])
        self.assertEqual(names[-1], "high.ko")
        self.assertEqual(missing, ["absent"])
        self.assertEqual(dict(files)["lib/modules/1.2.3/kernel/z/low.ko"], self.low)
        archive = Archive(TIME_SECONDS)
        initramfs.add_modules(archive, files)
        listed = archive.entries[initramfs.MODULE_LIST][1].decode().splitlines()
        self.assertEqual(listed, ["/" + place for place, _ in files])
        self.assertEqual(sorted(f"/{place}" for place in archive.entries if ".ko" in place), sorted(listed))

    def test_a_missing_module_that_was_requested_is_an_error(self):
        with self.assertRaisesRegex(KernelError, "no module absent"):
            self.kernel.module_files(["absent"], [])

    def test_the_input_is_not_changed(self):
        before = sorted(self.directory.glob("in/**/*"))
        self.kernel.module_files(["high"], [])
        self.assertEqual(sorted(self.directory.glob("in/**/*")), before)

    def test_modules_are_found_from_a_relative_path(self):
        work = pathlib.Path(os.path.relpath(self.directory / "work"))
        kernel = Kernel.of_directory(self.directory / "in", work)
        self.assertEqual([place for place, _ in kernel.module_files(["low"], [])[0]], ["lib/modules/1.2.3/kernel/z/low.ko"])

    def test_modules_of_two_kernels_are_refused(self):
        (self.directory / "in/lib/modules/4.5.6/kernel").mkdir(parents=True)
        with self.assertRaisesRegex(KernelError, "1.2.3, 4.5.6"):
            Kernel.of_directory(self.directory / "in", self.directory / "work")


class Inputs(WithDirectory):
    def test_a_kernel_is_found_by_its_names_and_two_different_ones_are_refused(self):
        vmlinuz = self.put("boot/vmlinuz-6.1", b"kernel")
        self.put("lib/modules/zImage", b"a kernel in a module directory is ignored")
        kernel = Kernel.of_directory(self.directory, self.directory)
        self.assertEqual(kernel.image("zImage"), (vmlinuz, "vmlinuz"))
        self.put("boot/vmlinuz-6.2", b"other")
        with self.assertRaisesRegex(KernelError, "several kernels"):
            kernel.image("zImage")
        image_file = self.put("zImage", b"the kernel with the exact name")
        self.assertEqual(kernel.image("zImage"), (image_file, "zImage"))
        with self.assertRaisesRegex(KernelError, "no bzImage or vmlinuz"):
            Kernel.of_directory(self.put("empty/x", b"").parent, self.directory).image("bzImage")

    def test_a_directory_that_is_not_a_buildroot_output_is_refused(self):
        with self.assertRaisesRegex(KernelError, "images is missing"):
            Kernel.of_buildroot(self.directory, self.directory)


class Initramfs(WithDirectory):
    def test_programs_run_with_the_libraries_of_the_archive(self):
        archive = Archive(TIME_SECONDS)
        initramfs.add_programs(archive, pathlib.Path("/"))
        root = self.directory / "root"
        root.mkdir()
        output("cpio", "-id", "--quiet", input=archive.bytes(), cwd=root)
        loader = next(path for path in root.rglob("ld-linux*"))
        libraries = ":".join({str(path.parent) for path in root.rglob("*.so*")})
        for program, words in [("mke2fs", ["-V"]), ("e2fsck", ["-V"]), ("fsck.fat", ["--help"])]:
            # Only libraries of the archive: --inhibit-cache ignores the library cache of the host.
            command = [loader, "--inhibit-cache", "--library-path", libraries, root / "sbin" / program, *words]
            listing = [*command[:4], "--list", command[4]]
            for line in output(*listing).decode().splitlines():
                if "=>" in line:
                    self.assertIn(str(root), line)
            self.assertEqual(subprocess.run(list(map(str, command)), capture_output=True).returncode, 0, program)

    def test_a_large_initramfs_is_an_error_and_modules_do_not_count(self):
        noise = random.Random(1).randbytes(initramfs.SIZE_MAX_BYTES)
        archive = Archive(TIME_SECONDS)
        archive.file("lib/modules/1/large.ko", noise)
        packed, bare_len_bytes = initramfs.pack(archive, "none")
        self.assertGreater(len(packed), initramfs.SIZE_MAX_BYTES)
        self.assertLess(bare_len_bytes, 1000)
        archive.file("large", noise)
        with self.assertRaisesRegex(KernelError, "without modules"):
            initramfs.pack(archive, "none")


class Drive(WithDirectory):
    def setUp(self):
        super().setUp()
        self.put("files/boot/kernel", random.Random(2).randbytes(3 << 20))
        self.put("files/replicator.toml", b'board = "x"\n')

    def build(self, name, table, file_system, len_mib=64):
        path = self.directory / name
        image.build(path, self.directory / "files", table, file_system, len_mib * image.MIB, TIME_SECONDS)
        return path

    def content(self, drive):
        path = self.directory / "content"
        path.write_bytes(drive.read_bytes()[image.MIB : -image.MIB])
        return path

    def table(self, drive):
        return json.loads(output("sfdisk", "-J", drive))["partitiontable"]

    def test_mbr_with_ext4_has_only_features_of_old_bootloaders(self):
        drive = self.build("a.img", "mbr", "ext4")
        table = self.table(drive)
        self.assertEqual(table["label"], "dos")
        (partition,) = table["partitions"]
        self.assertEqual((partition["start"], partition["size"], partition["type"]), (2048, 62 * 2048, "83"))
        self.assertTrue(partition["bootable"])
        content = self.content(drive)
        superblock = output("dumpe2fs", "-h", content).decode()
        self.assertRegex(superblock, r"volume name: +REPLICATOR\n")
        features = superblock.split("Filesystem features:")[1].splitlines()[0].split()
        self.assertIn("extent", features)
        self.assertFalse({"metadata_csum", "64bit", "orphan_file", "metadata_csum_seed"} & set(features))
        output("e2fsck", "-fn", content)
        for name in ["boot/kernel", "replicator.toml"]:
            put = (self.directory / "files" / name).read_bytes()
            self.assertEqual(output("debugfs", "-R", f"cat /{name}", content), put)
            self.assertRegex(output("debugfs", "-R", f"stat /{name}", content).decode(), r"User: +0 +Group: +0 ")

    def test_the_partition_of_a_gpt_is_marked_as_bootable(self):
        table = self.table(self.build("a.img", "gpt", "ext4"))
        self.assertEqual(table["label"], "gpt")
        (partition,) = table["partitions"]
        self.assertEqual((partition["name"], partition["attrs"]), ("REPLICATOR", "LegacyBIOSBootable"))

    def test_fat32_has_the_label_and_the_files(self):
        drive = self.build("a.img", "mbr", "fat32")
        self.assertEqual(self.table(drive)["partitions"][0]["type"], "c")
        content = self.content(drive)
        output("fsck.fat", "-n", content)
        self.assertIn(b"FAT32", content.read_bytes()[:512])
        self.assertIn("REPLICATOR", output("mlabel", "-s", "-i", content, "::").decode())
        kernel = output("mtype", "-i", content, "::/boot/kernel")
        self.assertEqual(kernel, (self.directory / "files/boot/kernel").read_bytes())

    def test_the_same_files_give_the_same_drive_and_other_files_another_one(self):
        for table, file_system in [("mbr", "ext4"), ("gpt", "ext2"), ("mbr", "fat32")]:
            with self.subTest(file_system):
                first = self.build("a.img", table, file_system).read_bytes()
                self.put("files/replicator.toml", b'board = "x"\n')
                self.assertTrue(first == self.build("b.img", table, file_system).read_bytes())
                self.put("files/replicator.toml", b'board = "y"\n')
                self.assertFalse(first == self.build("c.img", table, file_system).read_bytes())
                self.put("files/replicator.toml", b'board = "x"\n')

    def test_files_that_do_not_fit_are_an_error(self):
        for file_system in ["ext4", "fat32"]:
            self.put("files/large", random.Random(3).randbytes(63 << 20))
            with self.subTest(file_system), self.assertRaises(KernelError):
                self.build("a.img", "mbr", file_system)
        with self.assertRaisesRegex(KernelError, "too few"):
            self.build("a.img", "mbr", "ext4", 2)

    def test_the_default_size_is_sufficient(self):
        self.put("files/large", random.Random(3).randbytes(100 << 20))
        len_mib = image.least_len_bytes(self.directory / "files") // image.MIB
        self.build("a.img", "gpt", "ext4", len_mib)


class Tools(unittest.TestCase):
    def test_a_failing_tool_is_an_error_with_its_message(self):
        with self.assertRaisesRegex(KernelError, "sfdisk: exit .*nonexistent"):
            run(["sfdisk", "-d", "/nonexistent"])
        with self.assertRaisesRegex(KernelError, "no-such-tool is not installed"):
            run(["no-such-tool"])


if __name__ == "__main__":
    unittest.main()
