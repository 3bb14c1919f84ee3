################################################################################
#
# replicator
#
################################################################################

REPLICATOR_VERSION = 0.1.0
# A file and not "local": only what is downloaded gets the crates it needs.
REPLICATOR_SITE = $(call qstrip,$(BR2_PACKAGE_REPLICATOR_SOURCE_DIRECTORY))
REPLICATOR_SITE_METHOD = file
REPLICATOR_SOURCE = replicator-$(REPLICATOR_VERSION).tar.gz
REPLICATOR_LICENSE = MIT or Apache-2.0
REPLICATOR_LICENSE_FILES = LICENSE-MIT LICENSE-APACHE

# The infrastructure builds with --release; these are the settings of [profile.boot] in Cargo.toml, but for the levels of
# single packages, which the environment cannot say: one for all that leaves the codecs fast enough.
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

# After Buildroot's own /init of the cpio, which starts an init system.
define REPLICATOR_INIT
	ln -sf usr/sbin/replicator $(TARGET_DIR)/init
endef
ifeq ($(BR2_PACKAGE_REPLICATOR_INIT),y)
ROOTFS_CPIO_PRE_GEN_HOOKS += REPLICATOR_INIT
endif

$(eval $(cargo-package))
