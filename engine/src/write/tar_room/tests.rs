use super::*;
use replicator_hal::{NodeKind, Xattr};

const MIB: u64 = 1 << 20;

struct Made {
    counter: Counter,
    tree: Shape,
}

impl Made {
    fn new(flavour: Flavour) -> Self {
        Self { counter: Counter::new(flavour), tree: Shape::default() }
    }

    fn add(&mut self, path: &str, kind: EntryKind) -> &mut Self {
        self.add_with(path, kind, Vec::new())
    }

    fn add_with(&mut self, path: &str, kind: EntryKind, xattrs: Vec<Xattr>) -> &mut Self {
        let entry = Entry { xattrs, ..Entry::plain(path, kind) };
        let number = self.counter.add(&entry).unwrap();
        self.tree.add_as(&entry, number).unwrap();
        self
    }

    fn file(&mut self, path: &str, len_bytes: u64) -> &mut Self {
        let data = if len_bytes == 0 { Vec::new() } else { vec![0..len_bytes] };
        self.add(path, EntryKind::File { len_bytes, data })
    }

    fn room(self) -> Result<Room, String> {
        self.counter.finish(&self.tree)
    }
}

#[test]
fn names_of_one_file_are_one_inode_and_a_replaced_file_is_none() {
    let mut made = Made::new(Flavour::Ext4);
    made.file("a", 5000).file("d/b", 1).file("a", 1).add("d/e", EntryKind::Directory);
    made.add("h", EntryKind::HardLink { existing: RelativePath::parse("a").unwrap() });
    made.add("n", EntryKind::Node(NodeKind::Fifo));
    let room = made.room().unwrap();
    // a, d, d/b, d/e, n
    assert_eq!(room.inodes, 5);
    // Three directories and two blocks of data.
    assert_eq!(room.blocks, [3 + 2 + 16; 2]);
}

#[test]
fn many_small_files_get_their_inodes() {
    let mut made = Made::new(Flavour::Ext4);
    for number in 0..20_000 {
        made.file(&format!("usr/{}/{number}", number % 100), 3);
    }
    let room = made.room().unwrap();
    let shape = room.shape(252 * MIB, 512).unwrap();
    assert_eq!(shape.block_len_bytes, 4096);
    assert!(shape.inodes > 20_101 && shape.inodes < 30_000, "{shape:?}");
    // If 80 MB of blocks are too much, smaller blocks are used.
    let shape = room.shape(70 * MIB, 512).unwrap();
    assert_eq!(shape.block_len_bytes, 1024);
    let Err(NoShape::TooSmall(why)) = room.shape(24 * MIB, 512) else { panic!("a larger medium holds it") };
    assert!(why.contains("needs 20101 inodes and") && why.contains("of 24.0 MiB has"), "{why}");
    assert!(room.shape(70 * MIB, 4096).is_err(), "blocks are not smaller than sectors");
}

#[test]
fn few_large_files_get_the_usual_shape_and_a_full_medium_a_small_journal() {
    let of = |len_bytes| {
        let mut made = Made::new(Flavour::Ext4);
        made.file("big", len_bytes);
        made.room().unwrap().shape(252 * MIB, 512)
    };
    let usual = ExtShape::usual(Flavour::Ext4, 252 * MIB, 512);
    assert_eq!(of(100 * MIB).unwrap(), usual);
    let room = usual.room(Flavour::Ext4, 252 * MIB).unwrap();
    let tight = of(room.usable_blocks() * 4096).unwrap();
    assert!(tight.inodes < usual.inodes, "{tight:?}");
    assert!(of(room.free_blocks * 4096 + 8 * MIB).unwrap().journal_blocks < usual.journal_blocks);
    assert!(of(252 * MIB).is_err());
}

/// The obstacle for a medium of any length.
fn never(shape: Result<ExtShape, NoShape>) -> String {
    match shape.unwrap_err() {
        NoShape::Never(why) => why,
        NoShape::TooSmall(figures) => panic!("a larger medium holds no more: {figures}"),
    }
}

#[test]
fn what_a_flavour_cannot_hold_is_reported_with_its_name() {
    let xattr = |len| vec![Xattr { name: "user.a".into(), value: vec![1; len] }];
    let attributes = |flavour| {
        let mut made = Made::new(flavour);
        let kind = EntryKind::File { len_bytes: 0, data: Vec::new() };
        made.add_with("etc/big", kind, xattr(20_000));
        made.room().unwrap().shape(100 * MIB, 512)
    };
    assert!(attributes(Flavour::Ext4).unwrap().large_attributes);
    let why = never(attributes(Flavour::Ext4Compat));
    assert!(why.contains("\"etc/big\" has attributes"), "{why}");
    let long = |flavour, len_bytes| {
        let mut made = Made::new(flavour);
        made.add("sparse", EntryKind::File { len_bytes, data: Vec::new() });
        made.room().unwrap().shape(40 * MIB, 512)
    };
    assert_eq!(long(Flavour::Ext3, 9 << 30).unwrap().block_len_bytes, 1024);
    assert_eq!(long(Flavour::Ext3, 20 << 30).unwrap().block_len_bytes, 4096);
    assert!(never(long(Flavour::Ext3, 3 << 40)).contains("\"sparse\" is a file that is too long"));
    assert_eq!(long(Flavour::Ext4, 5 << 40).unwrap().block_len_bytes, 4096);
    let mut made = Made::new(Flavour::Ext4);
    made.add("link", EntryKind::Symlink { text: vec![b'x'; 1500] });
    assert_eq!(made.room().unwrap().shape(40 * MIB, 512).unwrap().block_len_bytes, 4096);
}

#[test]
fn links_are_bounded_by_the_flavour() {
    let linked = |flavour, names: u64| {
        let mut made = Made::new(flavour);
        made.file("f", 0);
        for number in 1..names {
            let existing = RelativePath::parse("f").unwrap();
            made.add(&format!("l{number}"), EntryKind::HardLink { existing });
        }
        made.room()
    };
    assert!(linked(Flavour::Ext2, 32_000).is_ok());
    assert!(linked(Flavour::Ext3, 32_001).unwrap_err().contains("\"f\" has 32001 names"));
    assert!(linked(Flavour::Ext4, 65_000).is_ok());
    assert!(linked(Flavour::Ext4Compat, 65_001).unwrap_err().contains("65001 names"));
    let wide = |flavour, count: u64| {
        let mut made = Made::new(flavour);
        for number in 0..count {
            made.add(&format!("d/{number}"), EntryKind::Directory);
        }
        made.room()
    };
    assert!(wide(Flavour::Ext3, 31_998).is_ok());
    assert!(wide(Flavour::Ext3, 31_999).unwrap_err().contains("\"d\" holds 31999 directories"));
    assert!(wide(Flavour::Ext4, 70_000).is_ok());
}

#[test]
fn same_attributes_share_their_block() {
    let room = |same: bool| {
        let mut made = Made::new(Flavour::Ext4);
        for number in 0..2000_u32 {
            let value = if same { vec![7; 200] } else { number.to_le_bytes().repeat(50) };
            let xattrs = vec![Xattr { name: "user.a".into(), value }];
            made.add_with(&format!("{number}"), EntryKind::File { len_bytes: 0, data: Vec::new() }, xattrs);
        }
        made.room().unwrap().blocks[0]
    };
    assert!(room(true) < 60, "{}", room(true));
    assert!(room(false) >= 2000);
}
