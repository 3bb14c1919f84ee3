//! A tarball either fits on a medium, or it is refused before the medium is changed. Generated archives are written to media of
//! different lengths, to find the smallest accepted one.

use super::devices::Medium;
use super::workshop::{MIB, Workshop};
use std::fs::File;
use std::io::Read;

/// First seed of the generated archives, unless the environment sets another one.
const FIRST_SEED: u64 = 1;
/// Number of seeds: one per flavour.
const SEEDS: u64 = 4;
/// Precision of the search for the smallest length.
const STEP_BYTES: u64 = 128 << 10;
const FLAVOURS: [&str; 4] = ["ext4", "ext4compat", "ext3", "ext2"];

/// Random entries. Each seed prefers one kind: tiny files, long names, distinct attributes, holes, links, large files.
const GENERATOR: &str = r"
import random
r = random.Random(seed)
taste = seed % 6
directories, files = ['usr'], []
def fresh(n):
    length = r.choice([5, 8, 13, 60]) if taste != 1 else r.choice([100, 200, 255])
    return r.choice(directories) + '/' + (str(n) + 'n' * 255)[:length]
def attributes():
    if r.random() > (0.8 if taste == 2 else 0.1): return {}
    size = r.choice([1, 40, 200, 900])
    value = 'v' * size if r.random() < 0.3 else ('%d ' % r.randrange(10**9) * 100)[:size]
    return {'pax_headers': {'SCHILY.xattr.' + r.choice(['user.a', 'trusted.abc', 'security.x']): value}}
def sparse(n):
    pieces, at, data = [], 0, b''
    for _ in range(r.randrange(1, 300 if taste == 3 else 20)):
        at += r.randrange(1, 90000); length = r.randrange(1, 3000)
        pieces += [at, length]; at += length; data += b's' * length
    table = ('%d\n' % (len(pieces) // 2) + ''.join('%d\n' % p for p in pieces)).encode()
    table += bytes(-len(table) % 512)
    name = fresh(n)
    headers = {'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.name': name, 'GNU.sparse.realsize': str(at)}
    add('usr/sparse', data=table + data, pax_headers=headers)
for n in range(r.randrange(200, 6000 if taste < 2 else 1500)):
    kind = r.choices(['file', 'directory', 'link', 'symlink', 'fifo', 'sparse', 'again'],
                     [60, 8, 30 if taste == 4 else 5, 8, 1, 20 if taste == 3 else 0.5, 2])[0]
    if kind == 'directory':
        directories.append(fresh(n)); add(directories[-1], b'5', **attributes())
        if r.random() < 0.5 or sum(map(len, directories[-1:])) > 1500: directories.pop()
    elif kind == 'link' and files: add(fresh(n), b'1', linkname=r.choice(files))
    elif kind == 'symlink': add(fresh(n), b'2', linkname='t' * r.choice([1, 59, 60, 61, 500, 1000]))
    elif kind == 'fifo': add(fresh(n), b'6')
    elif kind == 'sparse': sparse(n)
    else:
        name = r.choice(files) if kind == 'again' and files else fresh(n)
        large = 400000 if taste == 5 and n % 7 == 0 else 9000
        size = r.choice([0, 1, 100, 1024, 1025, 4096, 4097, r.randrange(large)])
        files.append(name); add(name, data=bytes([65 + n % 26]) * size, **attributes())
";

fn start(medium: &Medium) -> Vec<u8> {
    medium.flush();
    let mut start = Vec::new();
    File::open(&medium.file).unwrap().take(MIB).read_to_end(&mut start).unwrap();
    start
}

/// Writes to a medium of this length. If it is accepted, returns all and free blocks of the file system.
#[track_caller]
fn written_to(workshop: &Workshop, flavour: &str, len_bytes: u64) -> Option<[u64; 2]> {
    let mut medium = workshop.used(len_bytes);
    let before = start(&medium);
    let run = workshop.run(flavour, &medium);
    if run.exit == 0 {
        return Some(workshop.with_written(&mut medium, |root, _| {
            let facts = nix::sys::statvfs::statvfs(root).unwrap();
            [facts.blocks(), facts.blocks_free()]
        }));
    }
    run.assert_failure("R-TOOLARGE");
    assert!(before == start(&medium), "the medium was changed: {}", run.console);
    None
}

#[test]
fn an_accepted_medium_has_room_down_to_the_smallest_one() {
    let Some(workshop) = Workshop::new(384 * MIB) else { return };
    let first: u64 = std::env::var("REPLICATOR_SEED").map_or(FIRST_SEED, |text| text.parse().unwrap());
    for seed in first..first + SEEDS {
        workshop.clear("");
        workshop.pack_with_python(&format!("seed = {seed}\n{GENERATOR}"));
        let flavour = FLAVOURS[(seed % 4) as usize];
        let (mut refused, mut taken) = (5 * MIB, 192 * MIB);
        assert_eq!(written_to(&workshop, flavour, refused), None, "seed {seed}");
        let mut room = written_to(&workshop, flavour, taken).unwrap();
        while taken - refused > STEP_BYTES {
            let middle = (refused + (taken - refused) / 2) / STEP_BYTES * STEP_BYTES;
            println!("seed {seed}, {flavour}: {middle} bytes");
            match written_to(&workshop, flavour, middle) {
                Some(found) => (taken, room) = (middle, found),
                None => refused = middle,
            }
        }
        let [blocks, free] = room;
        println!("seed {seed}, {flavour}: {taken} bytes are the least, {free} of {blocks} blocks are free");
        // The estimate is an upper bound, and close to the real size.
        assert!(free < 512 + blocks / 20, "seed {seed}: {free} of {blocks} blocks are free");
    }
}
