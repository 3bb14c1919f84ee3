//! A simulated medium behaves like a loop device.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use replicator_hal::contract::loop_media::Bench;
use replicator_hal::{BlockDevices, DeviceKind, DeviceName, ErrorKind, Result, Target, io};
use replicator_sim::model::hardware::content::Content;
use replicator_sim::{Medium, WorldBuilder};

/// Not a multiple of the page length, so that the end is in the middle of a page.
const LEN_BYTES: u64 = (256 << 10) + 3 * 512;

#[derive(Debug, Clone)]
enum Call {
    Write(u64, Vec<u8>),
    Zero(u64, u64),
    Read(u64, usize),
    Sync,
    BeginVerify,
}

/// Offsets anywhere, with and without alignment, and at both sides of the end.
fn any_offset() -> impl Strategy<Value = u64> {
    let special =
        vec![0, 1, 511, 512, 4095, 4096, LEN_BYTES - 512, LEN_BYTES - 1, LEN_BYTES, LEN_BYTES + 1, u64::MAX];
    prop_oneof![3 => 0..LEN_BYTES, 1 => (0..LEN_BYTES / 512).prop_map(|sector| sector * 512), 1 => prop::sample::select(special)]
}

fn any_call() -> impl Strategy<Value = Call> {
    let bytes = (0_usize..20_000, any::<u8>())
        .prop_map(|(len, seed)| (0..len).map(|at| (at % 251) as u8 ^ seed).collect());
    prop_oneof![
        4 => (any_offset(), bytes).prop_map(|(at, bytes)| Call::Write(at, bytes)),
        2 => (any_offset(), prop_oneof![0..20_000_u64, Just(4096), Just(LEN_BYTES), Just(u64::MAX)])
            .prop_map(|(at, len)| Call::Zero(at, len)),
        4 => (any_offset(), 0..20_000_usize).prop_map(|(at, len)| Call::Read(at, len)),
        1 => Just(Call::Sync),
        1 => Just(Call::BeginVerify),
    ]
}

/// The result of a call, or the kind of its error. How a backend got past the caches is not compared.
fn observe(target: &mut dyn Target, call: &Call) -> std::result::Result<Vec<u8>, ErrorKind> {
    let mut read = Vec::new();
    let ended: Result<()> = match call {
        Call::Write(at, bytes) => io::write_target(target, *at, bytes),
        Call::Zero(at, len) => target.zero(*at, *len),
        Call::Read(at, len) => {
            read.resize(*len, 0);
            io::read_target(target, *at, &mut read).map(|len| read.truncate(len))
        }
        Call::Sync => target.sync(),
        Call::BeginVerify => target.begin_verify().map(drop),
    };
    ended.map(|()| read).map_err(|error| error.kind())
}

#[test]
fn simulated_and_real_media_agree() {
    let Some(bench) = Bench::new("simulated_and_real_media_agree") else { return };
    let medium = bench.medium("sd", LEN_BYTES);
    let mut runner = TestRunner::new(crate::cases(300));
    let ended = runner.run(&prop::collection::vec(any_call(), 1..30), |calls| {
        let content = Content::Bytes(std::fs::read(&medium.image).unwrap());
        let sim = Medium::new("sd", "mmcblk0", DeviceKind::Sd, LEN_BYTES).content(content);
        let world = WorldBuilder::new().medium(sim).build().unwrap();
        let mut real = bench.devices.open_target(&medium.name).unwrap();
        let mut simulated =
            world.board().devices.open_target(&DeviceName::parse("mmcblk0").unwrap()).unwrap();
        prop_assert_eq!(real.len_bytes(), simulated.len_bytes());
        for call in &calls {
            prop_assert_eq!(observe(&mut *real, call), observe(&mut *simulated, call), "{:?}", call);
        }
        real.close().unwrap();
        simulated.close().unwrap();
        let after = world.medium_bytes("sd").unwrap().to_vec();
        prop_assert!(std::fs::read(&medium.image).unwrap() == after, "the media differ");
        Ok(())
    });
    ended.unwrap();
    bench.assert_clean(&[&medium]);
}
