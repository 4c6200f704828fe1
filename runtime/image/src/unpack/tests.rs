use std::fs;
use std::io::Write;

use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

use super::*;

mod layers;

/// One entry: kind, path, link target or content.
type Entry<'a> = (EntryType, &'a str, &'a str);

/// Writes headers byte by byte: the tar crate refuses to build hostile ones.
fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, path, rest) in entries {
        let mut header = Header::new_gnu();
        let raw = header.as_old_mut();
        raw.name.iter_mut().zip(path.bytes()).for_each(|(slot, byte)| *slot = byte);
        let content = match kind {
            EntryType::Symlink | EntryType::Link => {
                raw.linkname.iter_mut().zip(rest.bytes()).for_each(|(slot, byte)| *slot = byte);
                ""
            }
            _ => rest,
        };
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_mtime(1);
        header.set_size(content.len().try_into().unwrap());
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

struct Fixture {
    dir: tempfile::TempDir,
    tree: Tree,
    budget: Budget,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        fs::write(dir.path().join("victim"), "untouched").unwrap();
        let tree = Tree::new(&dir.path().join("root"), Keep::Plain, Form::Whole);
        Self { dir, tree, budget: Budget::new(1 << 20, 1000) }
    }

    fn apply(&mut self, bytes: &[u8]) -> Result<(), UnpackError> {
        let path = self.dir.path().join("layer");
        fs::write(&path, bytes).unwrap();
        let layer = Layer { digest: Digest::of(b"layer"), path, diff_id: Digest::of(bytes) };
        apply(&layer, &mut self.tree, &mut self.budget)
    }

    fn layer(&mut self, entries: &[Entry<'_>]) -> Result<(), UnpackError> {
        self.apply(&archive(entries))
    }

    fn root(&self) -> std::path::PathBuf {
        self.dir.path().join("root")
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root().join(path)).ok()
    }

    /// Nothing outside the root has changed.
    fn contained(&self) -> bool {
        let mut names: Vec<_> =
            fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names == ["layer", "root", "victim"]
            && fs::read_to_string(self.dir.path().join("victim")).unwrap() == "untouched"
    }
}

use EntryType::{Directory as D, Link as H, Regular as F, Symlink as L};

#[test]
fn later_layers_replace_hide_and_add() {
    let mut image = Fixture::new();
    image.layer(&[(D, "a/", ""), (F, "a/x", "1"), (F, "a/y", "1"), (F, "b/deep/z", "1"), (F, "c", "1")]).unwrap();
    image
        .layer(&[
            (F, "a/x", "2"),
            (F, "a/.wh.y", ""),
            (F, "b/new", "2"),
            (F, "b/.wh..wh..opq", ""),
            (D, "c", ""),
            (F, "c/inside", "2"),
            (F, "/absolute", "2"),
            (F, "./a/./dot", "2"),
        ])
        .unwrap();
    assert_eq!(image.read("a/x").as_deref(), Some("2"));
    assert_eq!(image.read("a/y"), None);
    assert_eq!(image.read("b/deep/z"), None);
    assert_eq!(image.read("b/new").as_deref(), Some("2"));
    assert_eq!(image.read("c/inside").as_deref(), Some("2"));
    assert_eq!(image.read("absolute").as_deref(), Some("2"));
    assert_eq!(image.read("a/dot").as_deref(), Some("2"));
}

#[test]
fn an_opaque_directory_keeps_what_its_own_layer_wrote_below() {
    let mut image = Fixture::new();
    image.layer(&[(F, "d/sub/old", "1"), (F, "d/old", "1")]).unwrap();
    image.layer(&[(F, "d/sub/new", "2"), (F, "d/.wh..wh..opq", "")]).unwrap();
    assert_eq!(image.read("d/sub/new").as_deref(), Some("2"));
    assert_eq!((image.read("d/sub/old"), image.read("d/old")), (None, None));
}

#[test]
fn a_whiteout_hides_lower_layers_only() {
    let mut image = Fixture::new();
    image.layer(&[(F, "x", "1")]).unwrap();
    image.layer(&[(F, "x", "2"), (F, ".wh.x", "")]).unwrap();
    assert_eq!(image.read("x").as_deref(), Some("2"));
}

#[test]
fn links_are_resolved_inside_the_image() {
    let mut image = Fixture::new();
    image
        .layer(&[
            (D, "usr/lib", ""),
            (L, "lib", "usr/lib"),
            (F, "lib/a", "1"),
            (L, "abs", "/usr"),
            (F, "abs/b", "1"),
            (L, "up", "../../../.."),
            (F, "up/victim", "inside"),
            (H, "hard", "lib/a"),
        ])
        .unwrap();
    assert_eq!(image.read("usr/lib/a").as_deref(), Some("1"));
    assert_eq!(image.read("usr/b").as_deref(), Some("1"));
    assert_eq!(image.read("hard").as_deref(), Some("1"));
    assert!(fs::symlink_metadata(image.root().join("victim")).unwrap().is_file());
    assert!(image.contained());
}

#[test]
fn nothing_is_written_through_a_link() {
    let mut image = Fixture::new();
    let victim = image.dir.path().join("victim").display().to_string();
    // Replacing the link, not its target; a whiteout removes the link, not its target.
    image.layer(&[(L, "x", &victim), (F, "x", "hit")]).unwrap();
    assert_eq!(image.read("x").as_deref(), Some("hit"));
    image.layer(&[(L, "y", &victim)]).unwrap();
    image.layer(&[(F, ".wh.y", "")]).unwrap();
    assert!(image.contained());
    assert!(image.layer(&[(H, "h", &victim)]).is_err());
    assert!(image.contained());
}

#[test]
fn a_file_written_over_a_hard_link_does_not_change_the_other_name() {
    let mut image = Fixture::new();
    image.layer(&[(F, "a", "1"), (H, "b", "a"), (F, "b", "2")]).unwrap();
    assert_eq!(image.read("a").as_deref(), Some("1"));
}

#[test]
fn hostile_entries_are_refused_by_name() {
    for entries in [
        vec![(F, "../evil", "x")],
        vec![(F, "a/../../evil", "x")],
        vec![(H, "h", "../victim")],
        vec![(H, "h", "/")],
        vec![(L, "l", "")],
        vec![(F, "a", "x"), (F, "a/b", "x")],
        vec![(L, "loop", "loop"), (F, "loop/x", "x")],
        vec![(F, ".wh...", "")],
        vec![(F, ".wh.", "")],
        vec![(EntryType::GNUSparse, "s", "")],
        vec![(EntryType::new(b'Z'), "s", "")],
    ] {
        let mut image = Fixture::new();
        let error = image.layer(&entries).unwrap_err();
        assert!(matches!(error, UnpackError::Entry { .. }), "{entries:?}: {error}");
        assert!(image.contained());
    }
}

#[test]
fn devices_and_pipes_are_left_out() {
    let mut image = Fixture::new();
    image.layer(&[(EntryType::Char, "null", ""), (EntryType::Fifo, "pipe", ""), (F, "x", "1")]).unwrap();
    assert_eq!(fs::read_dir(image.root()).unwrap().count(), 1);
}

#[test]
fn set_user_id_bits_do_not_reach_the_disk() {
    use std::os::unix::fs::PermissionsExt;
    let mut header = Header::new_gnu();
    header.set_path("su").unwrap();
    header.set_mode(0o6755);
    header.set_size(0);
    header.set_cksum();
    let mut builder = Builder::new(Vec::new());
    builder.append(&header, &b""[..]).unwrap();
    let mut image = Fixture::new();
    image.apply(&builder.into_inner().unwrap()).unwrap();
    let mode = fs::metadata(image.root().join("su")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[test]
fn bombs_stop_at_the_limits() {
    let mut image = Fixture::new();
    let big = archive(&[(F, "zeros", &"0".repeat(2 << 20))]);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&big).unwrap();
    let error = image.apply(&packed.finish().unwrap()).unwrap_err();
    assert!(matches!(error, UnpackError::TooLarge { unit: "bytes", .. }), "{error}");

    let mut image = Fixture::new();
    image.budget = Budget::new(100 << 20, 10);
    let names: Vec<_> = (0..11).map(|number| number.to_string()).collect();
    let entries: Vec<_> = names.iter().map(|name| (F, name.as_str(), "")).collect();
    assert!(matches!(image.layer(&entries), Err(UnpackError::TooLarge { unit: "entries", .. })));

    // A long name that would be read into memory.
    let mut image = Fixture::new();
    image.budget = Budget::new(100 << 20, 10);
    let error = image.layer(&[(EntryType::GNULongName, "x", &"n".repeat(3 << 20))]).unwrap_err();
    assert!(matches!(error, UnpackError::Archive { .. }), "{error}");
}

#[test]
fn long_names_come_from_either_extension() {
    let long = format!("{}/file", "d".repeat(120));
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o600);
    builder.append_data(&mut header, &long, &b"ok"[..]).unwrap();
    builder.append_pax_extensions([("path", "from/pax".as_bytes())]).unwrap();
    let mut header = Header::new_ustar();
    header.set_path("ignored").unwrap();
    header.set_size(3);
    header.set_mode(0o600);
    header.set_cksum();
    builder.append(&header, &b"pax"[..]).unwrap();
    let mut image = Fixture::new();
    image.apply(&builder.into_inner().unwrap()).unwrap();
    assert_eq!(image.read(&long).as_deref(), Some("ok"));
    assert_eq!(image.read("from/pax").as_deref(), Some("pax"));
}

#[test]
fn each_compression_is_recognised() {
    let plain = archive(&[(F, "x", "1")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    for bytes in [plain.clone(), gzip.finish().unwrap(), zstd::encode_all(plain.as_slice(), 1).unwrap()] {
        let mut image = Fixture::new();
        let path = image.dir.path().join("layer");
        fs::write(&path, bytes).unwrap();
        let layer = Layer { digest: Digest::of(b"l"), path, diff_id: Digest::of(&plain) };
        apply(&layer, &mut image.tree, &mut image.budget).unwrap();
        assert_eq!(image.read("x").as_deref(), Some("1"));
    }
}

#[test]
fn an_archive_that_ends_with_its_last_content_is_whole() {
    let mut image = Fixture::new();
    let plain = archive(&[(D, "srv", ""), (F, "srv/x", "content")]);
    image.apply(&plain[..1024 + 7]).unwrap();
    assert_eq!(image.read("srv/x").as_deref(), Some("content"));
    assert!(image.apply(&plain[..700]).is_err());
}

#[test]
fn truncated_and_altered_layers_are_errors() {
    let plain = archive(&[(F, "x", &"1".repeat(5000))]);
    let mut image = Fixture::new();
    assert!(matches!(image.apply(&plain[..2000]), Err(UnpackError::Archive { .. })));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    assert!(matches!(image.apply(&gzip[..gzip.len() / 2]), Err(UnpackError::Archive { .. })));
    let path = image.dir.path().join("layer");
    fs::write(&path, &plain).unwrap();
    let layer = Layer { digest: Digest::of(b"l"), path, diff_id: Digest::of(b"other") };
    assert!(matches!(apply(&layer, &mut image.tree, &mut image.budget), Err(UnpackError::DiffId { .. })));
}

#[test]
fn the_chain_id_is_that_of_the_specification() {
    let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
    assert_eq!(chain_id(std::slice::from_ref(&a)), a);
    assert_eq!(chain_id(&[a.clone(), b.clone()]), Digest::of(format!("{a} {b}").as_bytes()));
}

fn hostile_entry() -> impl Strategy<Value = (EntryType, String, String)> {
    let part = prop_oneof![
        "[ab]",
        Just("..".to_owned()),
        Just(".".to_owned()),
        Just(String::new()),
        Just(".wh.a".to_owned()),
        Just(".wh..wh..opq".to_owned()),
        Just("victim".to_owned())
    ];
    let path = prop::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"));
    let target = prop_oneof![
        path.clone(),
        path.clone().prop_map(|path| format!("/{path}")),
        Just("../victim".to_owned()),
        Just("../../..".to_owned())
    ];
    let kind = prop_oneof![Just(F), Just(D), Just(L), Just(L), Just(H), Just(EntryType::Fifo)];
    (kind, path, target)
}

proptest! {
    #[test]
    fn no_archive_reaches_outside(layers in prop::collection::vec(prop::collection::vec(hostile_entry(), 1..8), 1..3)) {
        let mut image = Fixture::new();
        for layer in &layers {
            // One entry at a time, so that a refused one does not end the attack.
            for (kind, path, target) in layer {
                let _ = image.layer(&[(*kind, path, target)]);
            }
            let entries: Vec<Entry<'_>> = layer.iter().map(|(kind, path, target)| (*kind, path.as_str(), target.as_str())).collect();
            let _ = image.layer(&entries);
        }
        prop_assert!(image.contained());
    }

    #[test]
    fn damaged_archives_never_panic(position in 0usize..3000, byte: u8) {
        let mut bytes = archive(&[(D, "d", ""), (F, "d/x", "content"), (L, "l", "d"), (H, "h", "d/x")]);
        let position = position % bytes.len();
        bytes[position] = byte;
        let mut image = Fixture::new();
        let _ = image.apply(&bytes);
        prop_assert!(image.contained());
    }
}
