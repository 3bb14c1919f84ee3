include $(sort $(wildcard $(BR2_EXTERNAL_REPLICATOR_PATH)/package/*/*.mk))
