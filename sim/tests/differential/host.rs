//! The simulated ext4 behaves like a directory of the host.

use crate::calls::{Sharing, any_call, observe};
use proptest::prelude::*;
use replicator_hal::VolumeId;
use replicator_hal::contract::NoMount;
use replicator_hal::host::{Tree, TreeVolume};
use std::sync::Arc;

proptest! {
    #![proptest_config(crate::cases(400))]

    #[test]
    fn simulated_and_host_volumes_agree(calls in prop::collection::vec(any_call(), 1..40)) {
        let directory = tempfile::tempdir().unwrap();
        let tree = Arc::new(Tree::new(directory.path(), None).unwrap());
        let host = TreeVolume::new(VolumeId(1), tree, NoMount);
        let (_world, sim) = crate::simulated(2 << 20);
        crate::begin_equal(&host);
        for call in &calls {
            prop_assert_eq!(observe(&host, call, Sharing::Shared), observe(&*sim, call, Sharing::Shared), "{:?}", call);
        }
    }
}
