//! Linux images: a stack of layers must show what one tree of all of them holds.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use super::*;
use crate::unpack::tree::{Shown, shown};

/// Layers in one of the two forms.
struct Image {
    dir: tempfile::TempDir,
    layered: bool,
    /// Lowest first.
    layers: Vec<PathBuf>,
    whole: Tree,
    budget: Budget,
}

impl Image {
    fn new(layered: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("whole")).unwrap();
        let whole = Tree::new(&dir.path().join("whole"), Keep::Everything, Form::Whole);
        Self { dir, layered, layers: Vec::new(), whole, budget: Budget::new(1 << 20, 1000) }
    }

    fn apply(&mut self, bytes: &[u8]) -> Result<(), UnpackError> {
        let path = self.dir.path().join("archive");
        fs::write(&path, bytes).unwrap();
        let layer = Layer { digest: Digest::of(b"layer"), path, diff_id: Digest::of(bytes) };
        if !self.layered {
            return apply(&layer, &mut self.whole, &mut self.budget);
        }
        let root = self.dir.path().join(self.layers.len().to_string());
        fs::create_dir(&root).unwrap();
        let below = self.layers.iter().rev().cloned().collect();
        let mut tree = Tree::new(&root, Keep::Everything, Form::Layer { below });
        tree.start().unwrap();
        self.layers.push(root);
        apply(&layer, &mut tree, &mut self.budget)
    }

    /// Everything that a container would see, but times.
    fn listing(&self) -> BTreeMap<PathBuf, String> {
        let roots = match self.layered {
            true => self.layers.iter().rev().cloned().collect(),
            false => vec![self.dir.path().join("whole")],
        };
        let describe = |Shown { path, place }: Shown| {
            let metadata = fs::symlink_metadata(&place).unwrap();
            let kind = metadata.file_type();
            let what = match () {
                () if kind.is_dir() => "directory".to_owned(),
                () if kind.is_symlink() => format!("-> {}", fs::read_link(&place).unwrap().display()),
                () if kind.is_file() => format!("file {:?}", fs::read_to_string(&place).unwrap()),
                () if kind.is_fifo() => "pipe".to_owned(),
                () => format!("device {:x}", metadata.rdev()),
            };
            let mode = if kind.is_symlink() { 0 } else { metadata.mode() & 0o7777 };
            (path, format!("{what} {mode:o} {}:{}", metadata.uid(), metadata.gid()))
        };
        shown(&roots).unwrap().into_iter().map(describe).collect()
    }
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        assert!(std::env::var_os("NACELLE_TEST_REQUIRE_ALL").is_none(), "this test needs root");
        eprintln!("SKIPPED: layers in overlayfs' form take root");
    }
    root
}

/// The same layers in both forms; what they show, which is the same.
fn both(layers: &[Vec<u8>]) -> BTreeMap<PathBuf, String> {
    let (mut whole, mut layered) = (Image::new(false), Image::new(true));
    for layer in layers {
        assert_eq!(whole.apply(layer).map_err(|e| e.to_string()), layered.apply(layer).map_err(|e| e.to_string()));
    }
    let listing = layered.listing();
    assert_eq!(listing, whole.listing());
    listing
}

fn names(listing: &BTreeMap<PathBuf, String>) -> Vec<&str> {
    listing.keys().map(|path| path.to_str().unwrap()).collect()
}

#[test]
fn layers_show_what_one_tree_holds() {
    if !is_root() {
        return;
    }
    let shown = both(&[
        archive(&[
            (D, "a", ""),
            (F, "a/x", "1"),
            (F, "a/y", "1"),
            (F, "b/deep/z", "1"),
            (F, "c", "1"),
            (F, "d/e", "1"),
        ]),
        archive(&[
            (F, "a/x", "2"),
            (F, "a/.wh.y", ""),
            (F, "b/new", "2"),
            (F, "b/.wh..wh..opq", ""),
            (D, "c", ""),
            (F, "c/inside", "2"),
            (F, "d", "2"),
        ]),
        archive(&[(D, "d", ""), (F, "b/deep/again", "3"), (F, ".wh.a", "")]),
    ]);
    assert_eq!(names(&shown), ["b", "b/deep", "b/deep/again", "b/new", "c", "c/inside", "d"]);
}

#[test]
fn a_deleted_directory_that_comes_again_is_empty() {
    if !is_root() {
        return;
    }
    let below = archive(&[(F, "d/old", "1"), (F, "e/old", "1"), (F, "f/old", "1"), (F, "g/old", "1")]);
    let shown = both(&[
        below,
        archive(&[
            (F, ".wh.d", ""),
            (D, "d", ""),
            // The other way round, by name and by what is in it; and a file in between.
            (D, "e", ""),
            (F, ".wh.e", ""),
            (F, "f/new", "2"),
            (F, ".wh.f", ""),
            (F, "g", "2"),
            (D, "g", ""),
        ]),
    ]);
    assert_eq!(names(&shown), ["d", "e", "f", "f/new", "g"]);
}

#[test]
fn a_layer_that_hides_all_below_is_the_lowest() {
    if !is_root() {
        return;
    }
    let shown = both(&[archive(&[(F, "old", "1")]), archive(&[(F, "new", "2"), (F, ".wh..wh..opq", "")])]);
    assert_eq!(names(&shown), ["new"]);
}

#[test]
fn links_and_parents_of_layers_below_are_what_they_are_there() {
    if !is_root() {
        return;
    }
    let mut parent = Header::new_gnu();
    parent.set_entry_type(D);
    parent.set_path("tmp").unwrap();
    parent.set_mode(0o1777);
    parent.set_uid(7);
    parent.set_gid(8);
    parent.set_size(0);
    parent.set_cksum();
    let mut builder = Builder::new(Vec::new());
    builder.append(&parent, &b""[..]).unwrap();
    let below = builder.into_inner().unwrap();
    let shown = both(&[
        below,
        archive(&[(D, "usr/lib", ""), (L, "lib", "usr/lib"), (F, "usr/lib/a", "1")]),
        archive(&[(F, "lib/b", "2"), (H, "hard", "lib/a"), (F, "tmp/x", "2")]),
    ]);
    assert_eq!(names(&shown), ["hard", "lib", "tmp", "tmp/x", "usr", "usr/lib", "usr/lib/a", "usr/lib/b"]);
    assert_eq!(shown[&PathBuf::from("tmp")], "directory 1777 7:8");
}

#[test]
fn everything_of_an_entry_is_kept() {
    if !is_root() {
        return;
    }
    let mut builder = Builder::new(Vec::new());
    let capability = b"\x01\0\0\x02\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let xattrs = [
        ("SCHILY.xattr.security.capability", &capability[..]),
        ("SCHILY.xattr.user.note", &b"n"[..]),
        ("SCHILY.xattr.trusted.overlay.redirect", &b"/etc"[..]),
    ];
    builder.append_pax_extensions(xattrs).unwrap();
    let mut header = Header::new_ustar();
    header.set_path("su").unwrap();
    header.set_mode(0o6755);
    header.set_uid(1);
    header.set_gid(2);
    header.set_mtime(77);
    header.set_size(0);
    header.set_cksum();
    builder.append(&header, &b""[..]).unwrap();
    for (kind, name) in [(EntryType::Fifo, "pipe"), (EntryType::Char, "null")] {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_path(name).unwrap();
        header.set_mode(0o666);
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
        header.set_size(0);
        header.set_cksum();
        builder.append(&header, &b""[..]).unwrap();
    }
    let mut image = Image::new(true);
    image.apply(&builder.into_inner().unwrap()).unwrap();
    let su = image.layers[0].join("su");
    let metadata = fs::metadata(&su).unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid(), metadata.mtime()), (0o6755, 1, 2, 77));
    let mut buffer = [0; 64];
    let mut names = Vec::new();
    for name in ["security.capability", "user.note", "trusted.overlay.redirect"] {
        if rustix::fs::lgetxattr(&su, name, &mut buffer).is_ok() {
            names.push(name);
        }
    }
    assert_eq!(names, ["security.capability", "user.note"]);
    let listing = image.listing();
    assert_eq!(listing[&PathBuf::from("pipe")], "pipe 666 0:0");
    assert_eq!(listing[&PathBuf::from("null")], "device 103 666 0:0");
}

#[test]
fn a_device_that_overlayfs_would_take_for_a_deletion_is_refused() {
    if !is_root() {
        return;
    }
    let mut image = Image::new(true);
    let error = image.apply(&archive(&[(EntryType::Char, "etc", "")])).unwrap_err();
    assert!(matches!(error, UnpackError::Entry { .. }), "{error}");
}

proptest! {
    #[test]
    fn both_forms_of_any_image_are_the_same(
        layers in prop::collection::vec(prop::collection::vec(hostile_entry(), 1..6), 1..4)
    ) {
        if is_root() {
            let archives: Vec<_> = layers
                .iter()
                .map(|layer| {
                    let entries: Vec<Entry<'_>> =
                        layer.iter().map(|(kind, path, target)| (*kind, path.as_str(), target.as_str())).collect();
                    archive(&entries)
                })
                .collect();
            // As much of it as both take: a refused entry ends the image.
            let mut count = 0;
            let mut probe = Image::new(false);
            while count < archives.len() && probe.apply(&archives[count]).is_ok() {
                count += 1;
            }
            both(&archives[..count]);
        }
    }
}
