"""Checks the Buildroot package: Config.in with a kconfig parser, replicator.mk with make.

Buildroot itself is not run. Minimal stand-ins define the options and macros of Buildroot that the package uses.
"""

import pathlib
import re
import shutil
import subprocess
import tempfile
import tomllib
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TREE = ROOT / "board-images/buildroot"

OPTIONS = """
mainmenu "Buildroot"
config BR2_EXTERNAL_REPLICATOR_PATH
	string
	default "{tree}"
config BR2_USE_MMU
	def_bool y
config BR2_PACKAGE_HOST_RUSTC_TARGET_ARCH_SUPPORTS
	def_bool {rust}
config BR2_PACKAGE_HOST_RUSTC
	bool
	depends on BR2_PACKAGE_HOST_RUSTC_TARGET_ARCH_SUPPORTS
config BR2_TARGET_ROOTFS_CPIO
	bool "cpio"
config BR2_PACKAGE_E2FSPROGS
	bool "e2fsprogs"
	depends on BR2_USE_MMU
config BR2_PACKAGE_E2FSPROGS_RESIZE2FS
	bool "resize2fs"
	depends on BR2_PACKAGE_E2FSPROGS
config BR2_PACKAGE_DOSFSTOOLS
	bool "dosfstools"
config BR2_PACKAGE_DOSFSTOOLS_FSCK_FAT
	bool "fsck.fat"
	depends on BR2_PACKAGE_DOSFSTOOLS
source "{tree}/Config.in"
"""
# make reads the options too. It prints the values that the infrastructure would use.
MACROS = """
include config
BR2_EXTERNAL_REPLICATOR_PATH := {tree}
qstrip = $(strip $(subst ",,$(1)))
cargo-package = REPLICATOR_IS_CARGO_PACKAGE := y
INSTALL = install
RUSTC_TARGET_NAME = triple
TARGET_DIR = TARGET
include $(BR2_EXTERNAL_REPLICATOR_PATH)/external.mk
values:
	$(foreach name,{names},$(info $(name)=$(REPLICATOR_$(name))))
install:
	$(REPLICATOR_INSTALL_TARGET_CMDS)
hooks:
	$(foreach hook,$(ROOTFS_CPIO_PRE_GEN_HOOKS),$($(hook)))
"""
NAMES = ["IS_CARGO_PACKAGE", "VERSION", "SITE", "SITE_METHOD", "SOURCE", "LICENSE_FILES", "CARGO_ENV", "CARGO_BUILD_OPTS"]


@unittest.skipUnless(shutil.which("kconfig-conf") and shutil.which("make"), "needs kconfig-frontends-nox and make")
class Package(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def configure(self, *wanted, rust="y"):
        """The options that result from `wanted`; the parser must not print errors."""
        (self.directory / "Kconfig").write_text(OPTIONS.format(tree=TREE, rust=rust))
        (self.directory / "wanted").write_text("".join(f"{name}=y\n" for name in wanted))
        # As in Buildroot, options have no prefix.
        environment = {"PATH": "/usr/bin:/bin", "CONFIG_": "", "KCONFIG_CONFIG": "config", "LC_ALL": "C"}
        command = ["kconfig-conf", "--defconfig=wanted", "Kconfig"]
        end = subprocess.run(command, cwd=self.directory, env=environment, capture_output=True, text=True)
        self.assertEqual((end.returncode, end.stderr), (0, ""), end.stdout)
        lines = (self.directory / "config").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))

    def make(self, target):
        (self.directory / "Makefile").write_text(MACROS.format(tree=TREE, names=" ".join(NAMES)))
        command = ["make", "-n", "--no-print-directory", "--warn-undefined-variables", target]
        end = subprocess.run(command, cwd=self.directory, capture_output=True, text=True)
        # Options that are not set have no variable.
        undefined = [line for line in end.stderr.splitlines() if "'BR2_" not in line and "'ROOTFS_" not in line]
        self.assertEqual((end.returncode, undefined), (0, []), end.stderr)
        return end.stdout

    def values(self):
        lines = (line for line in self.make("values").splitlines() if "=" in line)
        return {name: value.strip() for name, value in (line.split("=", 1) for line in lines)}

    def test_the_option_selects_the_programs_that_the_replicator_runs(self):
        options = self.configure("BR2_PACKAGE_REPLICATOR")
        for name in ("HOST_RUSTC", "E2FSPROGS", "E2FSPROGS_RESIZE2FS", "DOSFSTOOLS", "DOSFSTOOLS_FSCK_FAT"):
            self.assertEqual(options.get(f"BR2_PACKAGE_{name}"), "y", name)
        self.assertNotIn("BR2_PACKAGE_REPLICATOR_INIT", options)

    def test_the_option_is_hidden_if_the_package_cannot_be_built(self):
        self.assertNotIn("BR2_PACKAGE_REPLICATOR", self.configure("BR2_PACKAGE_REPLICATOR", rust="n"))
        wanted = ("BR2_PACKAGE_REPLICATOR", "BR2_PACKAGE_REPLICATOR_INIT")
        self.assertNotIn("BR2_PACKAGE_REPLICATOR_INIT", self.configure(*wanted))
        self.assertIn("BR2_PACKAGE_REPLICATOR_INIT", self.configure(*wanted, "BR2_TARGET_ROOTFS_CPIO"))

    def test_the_source_is_the_archive_of_this_tree(self):
        self.configure("BR2_PACKAGE_REPLICATOR")
        values = self.values()
        version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
        self.assertEqual(values["VERSION"], version)
        self.assertEqual((values["SITE_METHOD"], values["SITE"]), ("file", str(TREE / "source")))
        self.assertIn(f'"board-images/buildroot/source/{values["SOURCE"].replace(version, "$version")}"',
                      (TREE / "make-source-archive").read_text())
        for name in values["LICENSE_FILES"].split():
            self.assertTrue((ROOT / name).is_file(), name)
        self.assertEqual(values["IS_CARGO_PACKAGE"], "y")

    def test_package_features_and_profile_are_those_of_the_workspace(self):
        self.configure("BR2_PACKAGE_REPLICATOR")
        values = self.values()
        manifest = tomllib.loads((ROOT / "board-images/Cargo.toml").read_text())
        wanted = re.fullmatch(r"--package (\S+) --features (\S+)", values["CARGO_BUILD_OPTS"])
        self.assertEqual(wanted[1], manifest["package"]["name"])
        self.assertIn(wanted[2], manifest["features"])
        profile = tomllib.loads((ROOT / "Cargo.toml").read_text())["profile"]["boot"]
        given = dict(pair.removeprefix("CARGO_PROFILE_RELEASE_").split("=") for pair in values["CARGO_ENV"].split())
        for key in ("lto", "codegen-units", "strip"):
            self.assertEqual(given[key.upper().replace("-", "_")], str(profile[key]), key)

    def test_the_program_is_installed_and_is_init_only_with_its_option(self):
        self.configure("BR2_PACKAGE_REPLICATOR")
        self.assertEqual(self.make("install").split(),
                         "install -D -m 0755 ./target/triple/release/replicator TARGET/usr/sbin/replicator".split())
        self.assertNotIn("init", self.make("hooks"))
        self.configure("BR2_PACKAGE_REPLICATOR", "BR2_TARGET_ROOTFS_CPIO", "BR2_PACKAGE_REPLICATOR_INIT")
        self.assertEqual(self.make("hooks").split(), "ln -sf usr/sbin/replicator TARGET/init".split())


if __name__ == "__main__":
    unittest.main()
