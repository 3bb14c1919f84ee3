################################################################################
#
# replicator
#
################################################################################

REPLICATOR_VERSION = 0.1.0
# "file" and not "local", because Buildroot vendors crates only for downloaded sources.
REPLICATOR_SITE = $(call qstrip,$(BR2_PACKAGE_REPLICATOR_SOURCE_DIRECTORY))
REPLICATOR_SITE_METHOD = file
REPLICATOR_SOURCE = replicator-$(REPLICATOR_VERSION).tar.gz
REPLICATOR_LICENSE = MIT or Apache-2.0
REPLICATOR_LICENSE_FILES = LICENSE-MIT LICENSE-APACHE

# The infrastructure builds with --release. These are the settings of [profile.boot] in Cargo.toml, except for the levels of
# single packages, which environment variables cannot set: one level for all, with which the codecs are still fast enough.
REPLICATOR_CARGO_ENV = \
	CARGO_PROFILE_RELEASE_OPT_LEVEL=s \
	CARGO_PROFILE_RELEASE_LTO=fat \
	CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 \
	CARGO_PROFILE_RELEASE_STRIP=symbols
REPLICATOR_CARGO_BUILD_OPTS = --package replicator-boot --features static

define REPLICATOR_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 \
		$(@D)/target/$(RUSTC_TARGET_NAME)/$(if $(BR2_ENABLE_DEBUG),debug,release)/replicator \
		$(TARGET_DIR)/usr/sbin/replicator
endef

# Replaces the /init of Buildroot's cpio archive, which starts an init system.
define REPLICATOR_INIT
	ln -sf usr/sbin/replicator $(TARGET_DIR)/init
endef
ifeq ($(BR2_PACKAGE_REPLICATOR_INIT),y)
ROOTFS_CPIO_PRE_GEN_HOOKS += REPLICATOR_INIT
endif

$(eval $(cargo-package))
